"""The words of the documents about concepts: their names and the values of their slots."""

from __future__ import annotations

_VALUES = {
    "color": (
        "red orange yellow green blue purple pink brown black white grey beige crimson "
        "scarlet amber turquoise teal indigo violet magenta ivory khaki maroon lilac"
    ),
    "city": (
        "London Paris Rome Madrid Lisbon Vienna Prague Athens Dublin Oslo Warsaw Cairo "
        "Lagos Nairobi Tokyo Kyoto Delhi Mumbai Lima Quito Boston Chicago Toronto Sydney"
    ),
    "trade": (
        "baker mason weaver cooper farmer fisher tailor potter miller sailor painter "
        "printer plumber carpenter gardener shepherd tanner barber butcher cobbler joiner "
        "thatcher roofer glazier"
    ),
    "food": (
        "bread rice soup cheese butter honey apples pears plums cherries onions carrots "
        "cabbage beans lentils eggs fish bacon porridge noodles dumplings pancakes olives "
        "grapes"
    ),
    "animal": (
        "horse donkey sheep goat cow pig dog cat rabbit hare fox wolf bear deer otter "
        "badger beaver squirrel hedgehog falcon eagle owl raven swan"
    ),
    "metal": (
        "iron steel copper tin zinc lead gold silver bronze brass nickel cobalt chromium "
        "titanium tungsten platinum palladium mercury magnesium manganese vanadium "
        "bismuth lithium uranium"
    ),
}
_FIRST_NAMES = (
    "Ada Ben Clara David Emma Frank Grace Henry Iris Jacob Kate Leo Martha Noah Olga "
    "Peter Quentin Rosa Simon Thea Ursula Victor Wanda Xavier Yvonne Zoe Arthur Beatrice "
    "Cyril Dora Edwin Flora"
)
_FAMILY_NAMES = (
    "Adams Brooks Clarke Dawson Evans Foster Graham Harris Irving Jenkins Keller Lawson "
    "Morgan Newton Osborne Parker Quincy Rogers Sanders Thompson Underhill Vaughan Watson "
    "Yates Zimmer Abbott Bennett Carver Dixon Ellis Fletcher Gibson"
)
VALUES = {slot: tuple(values.split()) for slot, values in _VALUES.items()}
"""Values of each slot, a word each."""
FIRST_NAMES, FAMILY_NAMES = tuple(_FIRST_NAMES.split()), tuple(_FAMILY_NAMES.split())
