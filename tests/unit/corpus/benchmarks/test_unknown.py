from corpus.benchmarks.unknown import unknown_pictures
from corpus.pictures.images import featureless


def test_they_are_the_same_each_time_and_other_ones_for_the_test() -> None:
    tune, again, test = (unknown_pictures(split, each=1) for split in ("tune", "tune", "test"))
    assert {n: p.tobytes() for n, p in tune.items()} == {n: p.tobytes() for n, p in again.items()}
    assert set(test) - set(tune) == {"chart-0", "print-0"}
    assert all(test[name].tobytes() != picture.tobytes() for name, picture in tune.items())


def test_plain_ones_and_gradients_are_told_from_the_picture_and_screenshots_are_not() -> None:
    pictures = unknown_pictures("tune")
    told = {name for name, picture in pictures.items() if featureless(picture)}
    assert {f"{kind}-{n}" for kind in ("plain", "gradient") for n in range(4)} <= told
    assert not any(name.startswith("screenshot") for name in told)
