"""How far an answer can be trusted, and what is said when it cannot. Pure functions.

The confidence is a logistic function of what speaks for the answer (`Evidence`),
fitted on held-out questions for one checkpoint, generator and strategy: about that share of the
answers with a confidence p are right. Without such a fit there is no confidence, and the
only doubt is the retriever's own threshold.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from generator.answers.answer import NOT_ABOUT, Confidence, Evidence, not_judged
from generator.errors import InvalidCalibration

FEATURES = (
    *("lead", "answer_logprob", "agreement", "relevance", "answerable", "certain", "subject"),
    *("subject_prior", "alike"),
)
PACKAGED = Path(__file__).with_name("calibration.json")

_REASONS = {
    "lead": "the passage it is taken from hardly fits better than others",
    "answer_logprob": "the words were read with little certainty",
    "agreement": "the passages do not agree on it",
    "answerable": "the passage may not hold an answer to this question",
    "certain": "other words of the passage compete with these",
    "subject": "the passages that were found are about different things",
    "subject_prior": "passages about other things fit nearly as well",
    "relevance": "the passage was judged not to answer the question",
    "alike": "no picture of a known thing is much like this one",
}
# From which on an answer by a foreign fit is given though its passage scores low: where what was
# found is vouched for and stands apart, and where the score is nearly high enough
# (docs/measured/garden.md).
_LIKELY, _VERY_LIKELY = 0.8, 0.85
_SHOWN = "the photograph may show something else than the passage is about"


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted confidence: log-odds = bias + sum of weight x (value - mean) / deviation.

    Attributes:
        bias: the log-odds of an average answer.
        weights: by feature; features that are not there have no say.
        means: by feature.
        deviations: by feature.
        enough: a greater lead says no more than this one; None where it was fitted without.
        n: answers it was fitted on.
        temperature: of the scores that the passage is chosen by; None for the calibration's.
    """

    bias: float
    weights: Mapping[str, float]
    means: Mapping[str, float]
    deviations: Mapping[str, float]
    enough: float | None
    n: int
    temperature: float | None = None

    def contributions(self, evidence: Evidence) -> dict[str, float]:
        """Return what each feature adds to the log-odds.

        Raises:
            ValueError: a feature it was fitted with is not known of this answer.
        """
        parts = {}
        for name, weight in self.weights.items():
            value = getattr(evidence, name)
            if value is None:
                raise ValueError(f"{name} is not known, and the fit needs it")
            if name == "lead" and self.enough is not None:
                value = min(value, self.enough)
            parts[name] = weight * (value - self.means[name]) / self.deviations[name]
        return parts


def judge(
    evidence: Evidence,
    fit: Fit | None,
    *,
    unsure_below: float,
    withhold_below: float,
    doubts: Sequence[str] = (),
    low: Sequence[str] = (),
    foreign: bool = False,
    vouched: bool = False,
) -> Confidence:
    """Return the confidence in an answer.

    Args:
        evidence: what speaks for it.
        fit: for this checkpoint, generator and strategy; None where there is none.
        unsure_below: answers under this probability are unsure.
        withhold_below: answers under this one are withheld.
        doubts: reasons that others have to doubt it: unsure at least.
        low: reasons of the retriever, from the best score. A fit that knows more decides without
            them; where there is none, or it is foreign, they count as doubts.
        foreign: whether the fit was made on another corpus.
        vouched: whether something better than its score tells that what was found is what is asked
            about; see `Answering.vouched`. A low score is no doubt then of an answer that is likely
            enough; nor is one that is nearly high enough, of one that is likelier.
    """
    if not_judged(doubts):
        return Confidence(None, "withheld" if NOT_ABOUT in doubts else "unsure", tuple(doubts))
    known = fit is not None and all(getattr(evidence, name) is not None for name in fit.weights)
    if fit is None or not known:
        reasons = (*doubts, *low)
        return Confidence(None, "unsure" if reasons else "given", reasons)
    if foreign and evidence.apart is not None:
        # Where it was fitted several passages are about one thing.
        evidence = replace(evidence, subject=fit.means.get("subject"))
        unsure_below = max(unsure_below, _LIKELY)
    parts = fit.contributions(evidence)
    value = 1 / (1 + math.exp(-max(-50.0, min(50.0, fit.bias + sum(parts.values())))))
    enough = _LIKELY if vouched else _VERY_LIKELY if evidence.near else math.inf
    if foreign and value < enough:
        doubts = (*doubts, *low)
    against = sorted((part, name) for name, part in parts.items() if part < 0)
    weak = tuple(_REASONS[name] for _, name in against[:2])
    if evidence.shown is not None and evidence.shown < value:
        value, weak = evidence.shown, (_SHOWN,)
    if value >= max(unsure_below, withhold_below):
        weak = ()  # it is no reason: the probability is enough
    reasons, doubted = (*doubts, *weak), bool(doubts)
    if value < withhold_below:
        reasons = reasons or ("such answers are rarely right",)
        return Confidence(value, "withheld", reasons, foreign, doubted)
    if value < unsure_below or doubts:
        reasons = reasons or ("such answers are often wrong",)
        return Confidence(value, "unsure", reasons, foreign, doubted)
    return Confidence(value, "given", (), foreign)


def needed_lead(evidence: Evidence, fit: Fit, least: float) -> float | None:
    """Return the lead at which the confidence is `least`, all else as it is.

    None where the lead has no say, something is not known, or no lead is great enough.
    """
    weight = fit.weights.get("lead")
    if evidence.shown is not None and evidence.shown < least:
        return None
    if not weight or any(getattr(evidence, name) is None for name in fit.weights):
        return None
    parts = fit.contributions(evidence)
    rest = fit.bias + sum(part for name, part in parts.items() if name != "lead")
    odds = math.log(least / (1 - least)) if 0 < least < 1 else math.copysign(math.inf, least - 0.5)
    needed = fit.means["lead"] + fit.deviations["lead"] * (odds - rest) / weight
    return None if needed > (math.inf if fit.enough is None else fit.enough) else needed


def fit_confidence(
    evidence: Sequence[Evidence],
    right: Sequence[bool],
    counts: Sequence[float] | None = None,
    *,
    ridge: float = 1.0,
) -> Fit:
    """Return the logistic regression of `right` on the features that are always known.

    Of standardised features, with a ridge penalty on the weights, none of which is negative. How
    great a lead is enough is the decile that makes the answers likeliest.

    Args:
        evidence: of each answer.
        right: whether it was right.
        counts: how much each answer counts; None for all alike.
        ridge: the penalty.

    Raises:
        ValueError: no answers, or all right or all wrong: nothing can be learnt from those.
    """
    y_N = np.array(right, dtype=float)
    c_N = np.ones(len(y_N)) if counts is None else np.array(counts, dtype=float)
    if len(evidence) != len(y_N) or not 0 < y_N.sum() < len(y_N):
        raise ValueError(f"{int(y_N.sum())} of {len(y_N)} answers are right: no fit is possible")
    columns = {}
    for name in FEATURES:
        values = [getattr(e, name) for e in evidence]
        if all(value is not None for value in values):
            columns[name] = np.array(values, dtype=float)
    if "lead" not in columns:
        return _fit_positive(columns, y_N, c_N, ridge)[1]
    leads_N = columns["lead"]
    fits = []
    for enough in np.unique(np.quantile(leads_N, np.linspace(0.2, 1, 9))).tolist():
        cut = {**columns, "lead": leads_N.clip(max=enough)}
        likelihood, fit = _fit_positive(cut, y_N, c_N, ridge)
        fits.append((likelihood, replace(fit, enough=enough)))
    return max(fits, key=lambda pair: pair[0])[1]


def centred(
    fit: Fit, evidence: Sequence[Evidence], right: Sequence[bool], counts: Sequence[float]
) -> Fit:
    """Return the fit with the bias at which as many answers are right as it says, in all.

    What tells right from wrong is learnt best where much is wrong; how much is right is another
    question, and these answers tell it.

    Args:
        fit: whose weights stay.
        evidence: of each answer.
        right: whether it was right.
        counts: how much each answer counts.

    Raises:
        ValueError: no answer counts, or all of those are right or all wrong.
    """
    c_N, y_N = np.array(counts, dtype=float), np.array(right, dtype=float)
    wanted = float(c_N @ y_N)
    if not 0 < wanted < c_N.sum():
        raise ValueError(f"{wanted:g} of {c_N.sum():g} answers are right: no bias is possible")
    z_N = np.array([sum(fit.contributions(e).values()) for e in evidence])

    def above(bias: float) -> float:
        return float(c_N @ (1 / (1 + np.exp(-np.clip(z_N + bias, -50, 50))))) - wanted

    from scipy.optimize import brentq  # only what fits needs it

    return replace(fit, bias=float(brentq(above, -100, 100)))


def _fit_positive(
    columns: Mapping[str, np.ndarray], y_N: np.ndarray, c_N: np.ndarray, ridge: float
) -> tuple[float, Fit]:
    """Return the log-likelihood of a fit without negative weights, and the fit.

    More of any feature speaks for an answer: one that seems to speak against it is noise, and
    would give false reasons.
    """
    from scipy.optimize import minimize  # only what fits needs it

    columns = {name: column for name, column in columns.items() if column.std() > 1e-9}
    means = {name: float(np.average(c, weights=c_N)) for name, c in columns.items()}
    deviations = {
        name: float(np.average((c - means[name]) ** 2, weights=c_N) ** 0.5)
        for name, c in columns.items()
    }
    x_NF = np.ones((len(y_N), 1 + len(columns)))
    for f, (name, column) in enumerate(columns.items(), start=1):
        x_NF[:, f] = (column - means[name]) / deviations[name]
    penalty_F = np.full(x_NF.shape[1], ridge)
    penalty_F[0] = 1e-6

    def loss(w_F: np.ndarray) -> tuple[float, np.ndarray]:
        z_N = x_NF @ w_F
        negative = c_N @ (np.logaddexp(0, z_N) - y_N * z_N) + penalty_F @ w_F**2 / 2
        p_N = 1 / (1 + np.exp(-np.clip(z_N, -50, 50)))
        return negative, x_NF.T @ (c_N * (p_N - y_N)) + penalty_F * w_F

    bounds = [(None, None)] + [(0, None)] * len(columns)
    start_F = np.zeros(len(bounds))
    found = minimize(loss, start_F, jac=True, bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-9})
    weights = {n: w for n, w in zip(columns, found.x[1:].tolist(), strict=True) if w > 0}
    likelihood = float(penalty_F @ found.x**2 / 2 - found.fun)
    return likelihood, Fit(
        float(found.x[0]),
        weights,
        {name: means[name] for name in weights},
        {name: deviations[name] for name in weights},
        None,
        len(y_N),
    )


def fit_temperature(scores: Sequence[Sequence[float]], gold: Sequence[int]) -> float:
    """Return the temperature at which the gold hits are likeliest.

    Args:
        scores: of the hits of each query.
        gold: the position of the gold passage among them.
    """
    rows = [np.array(row) - max(row) for row in scores]
    starts_N, all_S = np.cumsum([0, *map(len, rows)])[:-1], np.concatenate(rows)
    gold_N = np.array([row[g] for row, g in zip(rows, gold, strict=True)])

    def loss(temperature: float) -> float:
        sums_N = np.add.reduceat(np.exp(all_S / temperature), starts_N)
        return float((np.log(sums_N) - gold_N / temperature).sum())

    grid = np.geomspace(0.05, 100, 400)
    return float(min(grid, key=loss))


def fit_name(generator: str, style: str, strategy: str, pictures: str = "") -> str:
    """Return what a fit is kept under; `pictures` is the hash of a collection, "" for none."""
    return f"{generator}/{style}/{strategy}" + (f" beside {pictures[:12]}" if pictures else "")


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was fitted for one checkpoint.

    Attributes:
        checkpoint: its id, "NAME@REVISION"; "" when nothing was fitted.
        temperature: of its scores; 1 when nothing was fitted.
        relevant_from: by generator: from which probability its critic is believed.
        fits: by `fit_name`.
        corpus: the hash of the passages that they were fitted on; "" where not known.
    """

    checkpoint: str = ""
    temperature: float = 1.0
    relevant_from: Mapping[str, float] | None = None
    fits: Mapping[str, Fit] | None = None
    corpus: str = ""

    def fit(self, generator: str, style: str, strategy: str, pictures: str = "") -> Fit | None:
        """Return the fit for a generator and a strategy, or None.

        Args:
            generator: its name.
            style: of its prompts.
            strategy: how passages become an answer.
            pictures: the hash of the collection that had a say in what was found; "" for none.
                Where nothing was fitted beside it, the fit without one is returned.
        """
        fits = self.fits or {}
        alone = fits.get(fit_name(generator, style, strategy))
        return fits.get(fit_name(generator, style, strategy, pictures), alone)

    def critic(self, generator: str, style: str) -> float:
        """Return from which probability the critic is believed: 0.5 where not fitted."""
        return (self.relevant_from or {}).get(f"{generator}/{style}", 0.5)


def read_calibration(path: Path, revision: str) -> Calibration:
    """Return what a file holds for a checkpoint; an empty calibration where it holds nothing.

    Args:
        path: a list of entries as `calibration_json` makes them.
        revision: the hash of the checkpoint's content: a renamed copy keeps its calibration.

    Raises:
        InvalidCalibration: the file cannot be read, or is none.
    """
    try:
        for entry in json.loads(path.read_text(encoding="utf-8")):
            checkpoint = str(entry["checkpoint"])
            if checkpoint.rpartition("@")[2] == revision:
                fits = {name: Fit(**fit) for name, fit in entry["fits"].items()}
                for name, fit in fits.items():
                    _require_sane(name, fit)
                if unknown := {f for fit in fits.values() for f in fit.weights} - set(FEATURES):
                    raise ValueError(f"fitted on {', '.join(sorted(unknown))} by another version")
                return Calibration(
                    checkpoint,
                    _positive(entry["temperature"], "temperature"),
                    dict(entry["relevant_from"]),
                    fits,
                    str(entry.get("corpus", "")),
                )
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InvalidCalibration(
            f"{path} is not a calibration ({exc}). Make one with `kbvqa evaluate answers`, or "
            "unset KBVQA_CALIBRATION."
        ) from exc
    return Calibration()


def _positive(value: Any, name: str) -> float:
    """Return a number that is greater than 0.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{name} is {value!r:.50}, and no number greater than 0")
    return float(value)


def _require_sane(name: str, fit: Fit) -> None:
    """Raise ValueError for a fit that no answer could be judged by."""
    if fit.temperature is not None:
        _positive(fit.temperature, f"temperature of {name}")
    for feature in fit.weights:
        _positive(fit.deviations[feature], f"deviation of {feature}")
    said = [fit.bias, *fit.weights.values(), *(fit.means[feature] for feature in fit.weights)]
    if not all(isinstance(v, int | float) and math.isfinite(v) for v in said):
        raise ValueError(f"bias, weights and means of {name} are not all numbers")


def calibration_json(calibration: Calibration) -> dict[str, Any]:
    """Return a calibration as an entry of the file."""
    return {
        "checkpoint": calibration.checkpoint,
        "corpus": calibration.corpus,
        "temperature": calibration.temperature,
        "relevant_from": dict(calibration.relevant_from or {}),
        "fits": {
            name: {
                "bias": fit.bias,
                "weights": dict(fit.weights),
                "means": dict(fit.means),
                "deviations": dict(fit.deviations),
                "enough": fit.enough,
                "n": fit.n,
                "temperature": fit.temperature,
            }
            for name, fit in (calibration.fits or {}).items()
        },
    }
