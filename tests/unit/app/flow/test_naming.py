"""A title becomes a name as it stands inside a sentence, where the passage tells how."""

import pytest

from app.flow.naming import within_a_sentence


@pytest.mark.parametrize(
    ("title", "text", "name"),
    [
        ("Polar bear", "Polar bear. The polar bear is a large bear.", "the polar bear"),
        ("Bell", "Bell. A bell is a percussion instrument.", "the bell"),
        ("Eggplant", "Eggplant. Eggplant, or aubergine, is a plant. Raw eggplant is bitter.",
         "eggplant"),
        ("Elephant", "Elephants are large. Trunks of elephants are long.", "the elephant"),
        ("Toyota", "Toyotas are cars. A Toyota is built in Japan.", "Toyota"),
        ("Eiffel Tower", "Eiffel Tower. The Eiffel Tower is in Paris.", "the Eiffel Tower"),
        ("DNA", "DNA. DNA is a polymer. In cells DNA is coiled.", "DNA"),
        # Countries, whose passages do not begin with a sentence on them.
        ("United States", "United States - Trade. Export partners: Canada.", "the United States"),
        ("Isle of Man", "Isle of Man - Trade.", "the Isle of Man"),
        ("Republic of the Congo", "", "the Republic of the Congo"),
        ("Kenya", "Kenya - Military. Forces: the Kenya Army, of Kenya.", "Kenya"),
        ("Tokelau", "Tokelau - Flag. A canoe, on tokelau blue.", "Tokelau"),
        ("Antigua and Barbuda", "", "Antigua and Barbuda"),
        # Where nothing tells, and where the article is there, the title stays.
        ("Ant", "Ants are social insects.", "Ant"),
        ("Congo", "The Congo River is long.", "Congo"),
        ("Mars", "Mars. Mars is a planet. On mars bars see there. As Mars has moons.", "Mars"),
        ("The Bacchae", "The Bacchae. The Bacchae is a tragedy.", "The Bacchae"),
        ("", "", ""),
    ],
)  # fmt: skip
def test_a_name_is_as_its_passage_has_it(title: str, text: str, name: str) -> None:
    assert within_a_sentence(title, text) == name
