"""Words of captions of driving videos, besides those that `describe` uses."""

from __future__ import annotations

from cosmos_exp.captions.describe import COLORS

COLOURS = (
    *COLORS,
    "dark blue",
    "dark red",
    "light blue",
    "dark green",
    "beige",
    "purple",
    "pink",
    "gray",
    "tan",
    "bright red",
)
AREAS = (
    "residential", "downtown", "rural", "suburban", "urban", "industrial", "commercial", "city", "village", "country",
    "narrow", "wide", "busy", "quiet", "empty", "long", "straight", "winding", "curving", "one-way", "two-lane",
    "four-lane", "multi-lane", "divided", "tree-lined", "coastal", "mountain", "cobbled", "curving residential",
    "busy urban", "narrow residential", "wide downtown", "quiet suburban", "straight rural",
)  # fmt: skip
ROAD_NOUNS = (
    "road", "street", "avenue", "boulevard", "highway", "freeway", "motorway", "expressway", "lane", "alley", "bridge",
    "ramp", "two-lane street", "four-lane road", "two-lane road", "main street", "side street", "curve", "overpass",
    "country road", "shopping street", "road with two lanes", "street with parked cars", "on-ramp",
)  # fmt: skip
CROSSINGS = ("intersection", "T-junction", "junction", "crossroads", "roundabout", "crossing", "tunnel", "square")
EGO = (
    "driving", "a car drives", "the car drives", "the ego vehicle drives", "the ego car moves", "we drive", "a drive",
    "cruising", "heading", "slowly driving", "travelling", "the vehicle moves slowly", "our car drives",
    "a slow drive", "riding", "going", "the camera moves", "the car is driving", "the ego vehicle is travelling",
    "the vehicle continues",
)  # fmt: skip
FOOTAGE = (
    "the video shows", "the video captures", "a view of", "view down", "dashcam footage of", "footage of", "a scene on",
    "a dashcam video of", "approaching", "turning left at", "turning right at", "turning onto", "waiting at",
    "stopped at", "stopping at", "there is", "the scene shows", "the camera shows", "the car waits at", "merging onto",
    "the ego vehicle turns left at", "the ego vehicle stops at", "a wide shot of", "an aerial view of", "we approach",
)  # fmt: skip
VEHICLE_NOUNS = (
    "car", "truck", "bus", "van", "taxi", "motorcycle", "bicycle", "SUV", "pickup truck", "sedan", "minivan", "tram",
    "delivery van", "police car", "ambulance", "fire truck", "school bus", "trailer", "scooter", "cyclist", "vehicle",
    "hatchback", "train", "pickup", "garbage truck", "lorry", "motorbike", "tractor",
)  # fmt: skip
VEHICLES = ("car", "car", "car", "car", "vehicle", "vehicle", "truck", "truck", "bus", "van", *VEHICLE_NOUNS)
AMOUNTS = (
    "two", "three", "four", "five", "six", "several", "many", "a few", "two", "three", "some", "seven", "eight",
    "ten", "two other", "three other", "several other", "many other", "2", "3", "12", "a row of", "a line of",
    "numerous", "a couple of",
)  # fmt: skip
PLACES_OF_THINGS = (
    "ahead", "on the left", "on the right", "in front", "on both sides", "in the distance", "in the left lane",
    "in the right lane", "in the opposite lane", "on one side", "parked on the right", "parked on the left",
    "parked along the curb", "turning left", "turning right", "stopped ahead", "waiting", "coming towards us",
    "moving forward", "crossing", "at the corner", "behind", "in the middle", "far ahead", "near the crosswalk",
    "on the sidewalk", "driving ahead", "overtaking", "merging from the right", "standing still", "to the left",
    "to the right", "in front of us",
)  # fmt: skip
ACTIONS = (
    "drives", "is parked", "turns left", "turns right", "waits", "stops", "is driving", "moves slowly", "accelerates",
    "slows down", "reverses", "is waiting",
)  # fmt: skip
PEOPLE = (
    ("pedestrian", "pedestrians"), ("pedestrian", "pedestrians"), ("person", "people"), ("woman", "women"),
    ("man", "men"), ("child", "children"), ("worker", "workers"), ("cyclist", "cyclists"), ("runner", "runners"),
)  # fmt: skip
PEOPLE_ACTIONS = (
    "crossing", "crossing the street", "crossing the road", "on the sidewalk", "walking", "walking on the sidewalk",
    "waiting", "waiting at the crosswalk", "standing at the corner", "ahead", "on the left", "on the right",
    "walking a dog", "pushing a stroller", "near a bus stop", "with a bag", "on both sides", "at the crossing",
)  # fmt: skip
PARTS_OF_SIGNALS = (
    "a {state} light", "a {state} light", "a {state} light", "a {state} traffic light", "a {state} signal",
    "the light {state}", "two {state} lights", "a traffic light showing {state}", "the signal is {state}",
    "a stop sign", "a traffic signal", "traffic lights", "a {state} traffic signal",
)  # fmt: skip
SCENERY = (
    "trees", "houses", "tall buildings", "buildings", "parked cars", "shops", "bushes", "fields", "a concrete barrier",
    "a fence", "a wall", "utility poles", "power lines", "a billboard", "road signs", "a gas station", "a parking lot",
    "a sidewalk", "palm trees", "office buildings", "apartment blocks", "a church", "a school", "a park", "a river",
    "hills", "mountains", "a crosswalk", "traffic cones", "a construction site", "a bus stop", "a median strip",
    "storefronts", "warehouses", "a bridge", "grass", "hedges", "a forest", "lamp posts", "a restaurant", "skyscrapers",
)  # fmt: skip
TRAFFIC = (
    "heavy traffic",
    "moderate traffic",
    "light traffic",
    "little traffic",
    "no traffic",
    "dense traffic",
    "no other cars",
)
SENTENCES = (
    "there is {item}", "there are {item}", "{item}", "{item}", "ahead is {item}", "on the right is {item}",
    "{item} can be seen", "on the left we see {item}", "{item} is visible", "{item} are visible",
    "in the distance there is {item}", "the road is flanked by {item}", "we pass {item}", "it passes {item}",
    "next to it stands {item}",
)  # fmt: skip
SMALL_WORDS = (
    "the", "a", "of", "and", "with", "in", "on", "at", "by", "to", "near", "behind", "two", "three", "is", "are", "one",
    "no", "red", "blue", "green", "white", "left", "right", "street", "road", "past", "between", "from", "over", "its",
)  # fmt: skip
BESIDE = (
    "behind {thing}", "in front of {thing}", "next to {thing}", "following {thing}", "past {thing}",
    "between {thing} and a wall", "while {thing} passes", "as {thing} turns left", "opposite {thing}", "near {thing}",
    "towards {thing}", "and {thing}",
)  # fmt: skip
DOINGS = (
    "waits at a red light", "wait at a red light", "passes on the left", "follows", "crosses the road",
    "stands at the curb", "turns onto a side street", "pushes a cart", "carries a bag", "rides past",
    "stops at the line", "goes straight on", "drives past a bakery", "pulls out of a driveway", "is double-parked",
    "waits at the stop", "overtakes",
)  # fmt: skip
