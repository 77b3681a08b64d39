"""Label spaces by name, the subsets benchmarks score, and which class of one stands for which of another.

    LABEL_SPACES["ade20k"]                        # 150 names, in the order of the ids
    SCORED["synthia16"]                           # the classes whose IoU a SYNTHIA score averages
    answering(("sky", "tree"), CITYSCAPES.names)  # for each name there, the position here of its counterpart, or None

Names are lower case with underscores, as `plain_name` makes them. Sources: cityscapesScripts; the class lists of
mmsegmentation (ADE20K) and of SegNet's CamVid; Ros et al. 2016 and Richter et al. 2017 for SYNTHIA and VIPER, whose
scores leave out classes that Cityscapes has and they have not.
"""

from collections.abc import Sequence

from streams.datasets.labels import CITYSCAPES

CAMVID = "sky building pole road pavement tree sign fence car pedestrian bicyclist"

ADE20K = """
wall building sky floor tree ceiling road bed windowpane grass cabinet sidewalk person earth door table mountain
plant curtain chair car water painting sofa shelf house sea mirror rug field armchair seat fence desk rock wardrobe
lamp bathtub railing cushion base box column signboard chest_of_drawers counter sand sink skyscraper fireplace
refrigerator grandstand path stairs runway case pool_table pillow screen_door stairway river bridge bookcase blind
coffee_table toilet flower book hill bench countertop stove palm kitchen_island computer swivel_chair boat bar
arcade_machine hovel bus towel light truck tower chandelier awning streetlight booth television_receiver airplane
dirt_track apparel pole land bannister escalator ottoman bottle buffet poster stage van ship fountain conveyer_belt
canopy washer plaything swimming_pool stool barrel basket waterfall tent bag minibike cradle oven ball food step
tank trade_name microwave pot animal bicycle lake dishwasher screen blanket sculpture hood sconce vase traffic_light
tray ashcan fan pier crt_screen plate monitor bulletin_board shower radiator glass clock flag
"""


def _without(*left_out: str) -> tuple[str, ...]:
    return tuple(name for name in CITYSCAPES.names if name not in left_out)


SYNTHIA_16 = _without("terrain", "truck", "train")
SYNTHIA_13 = _without("terrain", "truck", "train", "wall", "fence", "pole")
VIPER_15 = _without("wall", "pole", "rider", "train")

LABEL_SPACES: dict[str, tuple[str, ...]] = {
    "cityscapes": CITYSCAPES.names,
    "synthia16": SYNTHIA_16,
    "synthia13": SYNTHIA_13,
    "viper": VIPER_15,
    "camvid": tuple(CAMVID.split()),
    "ade20k": tuple(ADE20K.split()),
}

# Other words for Cityscapes' classes. CamVid's bicyclist is rider and bicycle in one, and counts as rider.
SYNONYMS: dict[str, str] = {
    "pavement": "sidewalk",
    "tree": "vegetation",
    "sign": "traffic_sign",
    "signboard": "traffic_sign",
    "trafficsign": "traffic_sign",
    "trafficlight": "traffic_light",
    "pedestrian": "person",
    "bicyclist": "rider",
    "minibike": "motorcycle",
    "motorbike": "motorcycle",
    "grass": "terrain",
}

# By what a score is called: the Cityscapes classes it averages over.
SCORED: dict[str, tuple[str, ...]] = {
    "cityscapes19": CITYSCAPES.names,
    "synthia16": SYNTHIA_16,
    "synthia13": SYNTHIA_13,
    "viper15": VIPER_15,
    "camvid11": tuple(SYNONYMS.get(name, name) for name in CAMVID.split()),
}


def plain_name(name: str) -> str:
    """A class name as it is written here: "Traffic light " is traffic_light; of several words for one, the first."""
    return name.partition(",")[0].strip().lower().replace(" ", "_").replace("-", "_")


def answering(known: Sequence[str], wanted: Sequence[str]) -> tuple[int | None, ...]:
    """For each wanted class the position in `known` of the one that stands for it: of its own name, else the first that
    is another word for it; None where there is none.
    """
    positions: dict[str, int] = {}
    for position, name in enumerate(known):
        positions.setdefault(SYNONYMS.get(plain_name(name), ""), position)
    positions |= {plain_name(name): position for position, name in reversed(list(enumerate(known)))}
    return tuple(positions.get(name) for name in wanted)
