"""The words by which captions name what is on and beside a road. Each table maps a name to its synonyms, singular."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

ACTORS = {
    "vehicle": ("vehicle",),
    "car": ("car", "sedan", "hatchback", "automobile", "coupe", "passenger car"),
    "suv": ("suv", "sport utility vehicle"),
    "van": ("van", "minivan"),
    "pickup": ("pickup", "pickup truck"),
    "taxi": ("taxi", "cab", "taxicab"),
    "police car": ("police car", "patrol car"),
    "ambulance": ("ambulance",),
    "fire truck": ("fire truck", "fire engine"),
    "truck": ("truck", "lorry", "semi truck", "semi trailer", "trailer truck"),
    "trailer": ("trailer",),
    "bus": ("bus", "coach"),
    "train": ("train", "tram", "streetcar", "trolley"),
    "motorcycle": ("motorcycle", "motorbike", "motorcyclist", "motor bike"),
    "scooter": ("scooter", "moped"),
    "cyclist": ("cyclist", "bicycle", "bicyclist", "bike", "bike rider"),
    "pedestrian": ("pedestrian", "person", "walker", "passerby", "passer by", "man", "woman"),
    "child": ("child", "kid", "boy", "girl"),
    "dog": ("dog",),
    "animal": ("animal", "horse", "deer", "cow"),
}
SCENERY = {
    "tree": ("tree", "palm", "palm tree", "pine", "pine tree"),
    "bush": ("bush", "shrub", "hedge"),
    "grass": ("grass", "lawn", "meadow"),
    "forest": ("forest", "woods", "woodland"),
    "building": ("building",),
    "tall building": ("tall building", "high building", "high rise", "high rise building", "skyscraper", "tower"),
    "house": ("house", "home"),
    "shop": ("shop", "store", "storefront", "supermarket", "strip mall", "mall"),
    "restaurant": ("restaurant", "cafe"),
    "church": ("church",),
    "school": ("school",),
    "gas station": ("gas station", "petrol station", "filling station"),
    "wall": ("wall",),
    "fence": ("fence",),
    "barrier": ("barrier", "concrete barrier", "guardrail", "guard rail", "crash barrier"),
    "pole": ("pole", "utility pole", "telephone pole", "power pole"),
    "wire": ("wire", "power line", "cable", "overhead line"),
    "billboard": ("billboard",),
    "sign": ("sign", "road sign", "street sign", "traffic sign", "signpost"),
    "stop sign": ("stop sign",),
    "sidewalk": ("sidewalk", "footpath"),
    "bike lane": ("bike lane", "bicycle lane", "cycle lane"),
    "bus lane": ("bus lane",),
    "crosswalk": ("crosswalk", "pedestrian crossing", "zebra crossing"),
    "bench": ("bench",),
    "hydrant": ("hydrant", "fire hydrant"),
    "cone": ("cone", "traffic cone"),
    "construction": ("construction", "construction site", "roadwork", "road work"),
    "bus stop": ("bus stop", "bus shelter"),
    "parking lot": ("parking lot", "car park"),
    "median": ("median", "median strip"),
    "mountain": ("mountain", "hill"),
    "river": ("river", "lake", "canal"),
    "bridge": ("bridge", "overpass", "flyover"),
    "umbrella": ("umbrella",),
    "railway": ("railway", "railroad", "rail track", "railway track", "train track"),
}
LIGHTS = {
    "traffic light": ("traffic light", "traffic signal", "stoplight", "stop light", "signal", "signal light"),
    "lamp": (
        "lamp",
        "street lamp",
        "streetlamp",
        "street light",
        "streetlight",
        "headlight",
        "head light",
        "taillight",
        "tail light",
        "brake light",
        "lamppost",
        "lamp post",
        "city light",
    ),
}
ROADS = {
    "road": ("road", "street", "roadway", "avenue", "boulevard"),
    "highway": ("highway", "freeway", "motorway", "expressway", "interstate"),
    "intersection": ("intersection", "crossroad", "crossroads", "junction", "road crossing"),
    "t_junction": ("t junction", "t intersection"),
    "roundabout": ("roundabout", "traffic circle"),
    "alley": ("alley",),
    "ramp": ("ramp", "on ramp", "off ramp", "exit ramp"),
    "tunnel": ("tunnel", "underpass"),
}
ROAD_WORDS = {  # adjectives, of a road or what is around it
    "curve": ("curve", "curving", "curved", "bend", "bending", "winding"),
    "straight": ("straight",),
    "hilly": ("hilly", "sloping", "steep", "uphill", "downhill"),
    "narrow": ("narrow",),
    "one way": ("one way",),
    "two way": ("two way",),
    "residential": ("residential",),
    "downtown": ("downtown", "city centre", "city center"),
    "rural": ("rural", "countryside", "country road"),
    "urban": ("urban", "city"),
    "suburban": ("suburban", "suburb"),
    "industrial": ("industrial",),
    "commercial": ("commercial",),
    "village": ("village",),
}
HYPERNYMS = {
    **dict.fromkeys(
        (
            "car",
            "suv",
            "van",
            "pickup",
            "taxi",
            "police car",
            "ambulance",
            "fire truck",
            "truck",
            "trailer",
            "bus",
            "train",
            "motorcycle",
            "scooter",
        ),
        "vehicle",
    ),
    "tall building": "building",
    "house": "building",
    "shop": "building",
    "child": "pedestrian",
    "stop sign": "sign",
}
"""{kind: the kind that also covers it}."""

COLORS = {
    "white": ("white",),
    "black": ("black",),
    "grey": ("grey", "gray"),
    "silver": ("silver",),
    "red": ("red", "crimson"),
    "blue": ("blue",),
    "green": ("green",),
    "yellow": ("yellow", "amber"),
    "orange": ("orange",),
    "brown": ("brown",),
    "beige": ("beige",),
    "purple": ("purple", "violet"),
    "pink": ("pink",),
}
NUMBERS = {
    0: ("no", "zero"),
    1: ("a", "an", "one", "another", "1"),
    2: ("two", "2", "a pair of", "a couple of"),
    3: ("three", "3"),
    4: ("four", "4"),
    5: ("five", "5"),
    6: ("six", "6"),
    7: ("seven", "7"),
    8: ("eight", "8"),
    9: ("nine", "9"),
    10: ("ten", "10"),
    11: ("eleven", "11"),
    12: ("twelve", "12"),
}
SOME, MANY = "some", "many"
AMOUNTS = {
    SOME: (
        "several",
        "some",
        "a few",
        "few",
        "multiple",
        "various",
        "a number of",
        "a group of",
        "a line of",
        "a row of",
        "lines of",
        "rows of",
        "groups of",
    ),
    MANY: ("many", "numerous", "a lot of", "lots of", "dozens of", "countless", "a crowd of", "crowds of"),
}
DENSITIES = {
    "heavy traffic": ("heavy traffic", "dense traffic", "busy traffic"),
    "moderate traffic": ("moderate traffic",),
    "light traffic": ("light traffic", "sparse traffic", "little traffic"),
    "no traffic": ("no traffic",),
}
POSITIONS = {
    "ahead": ("ahead", "straight ahead", "in front", "up front", "directly in front"),
    "behind": ("behind us", "behind it", "to the rear"),
    "left": ("on the left", "to the left", "left side", "left hand side", "left lane", "from the left"),
    "right": (
        "on the right",
        "to the right",
        "right side",
        "right hand side",
        "at right",
        "right lane",
        "from the right",
    ),
    "oncoming": ("oncoming", "opposite direction", "opposite lane", "opposing"),
    "one side": ("one side",),
    "both sides": ("both sides", "either side", "each side"),
}
MOTIONS = {
    "parked": ("parked",),
    "standing": ("stationary", "stopped", "halted", "motionless", "standing still"),
    "moving": ("moving",),
    "turning": ("turning", "turns left", "turns right"),
    "turning left": ("turning left", "turn left"),
    "turning right": ("turning right", "turn right"),
    "crossing": ("crossing the road", "crossing the street", "crosses"),
}
EGO = re.compile(
    r"\b(camera mounted on (a|the) (car|vehicle)"
    r"|(the |a |an )?(ego|our|camera) (car|vehicle)(?!s)"
    r"|(a|the) (moving )?(car|vehicle)('s| s)? (dashboard|dash|windshield|hood)"
    r"|inside (a|the) (moving )?(car|vehicle)"
    r"|the camera is facing [a-z ]+)\b"
)
"""The car with the camera, which is no actor of the scene, and the way it looks."""

NO_PLURAL = {"grass", "construction"}
IRREGULAR = {
    "person": "people",
    "man": "men",
    "woman": "women",
    "child": "children",
    "passerby": "passersby",
    "passer by": "passers by",
    "bus": "buses",
    "bush": "bushes",
    "coach": "coaches",
    "bench": "benches",
    "church": "churches",
    "deer": "deer",
    "city": "cities",
    "alley": "alleys",
}


def plural(noun: str) -> str:
    return IRREGULAR.get(noun, noun if noun in NO_PLURAL else noun + "s")


def phrases(table: Mapping[str, Iterable[str]]) -> dict[tuple[str, ...], str]:
    """{words of a synonym: name}."""
    return {tuple(synonym.split()): name for name, synonyms in table.items() for synonym in synonyms}
