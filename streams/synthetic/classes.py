"""Train ids of the Cityscapes classes that the street world paints.

Plain integers, so that drawing code needs no data set; `NONE` marks sprite texels that paint colour but no label.
"""

from typing import Final

ROAD: Final = 0
SIDEWALK: Final = 1
BUILDING: Final = 2
WALL: Final = 3
FENCE: Final = 4
POLE: Final = 5
TRAFFIC_LIGHT: Final = 6
TRAFFIC_SIGN: Final = 7
VEGETATION: Final = 8
TERRAIN: Final = 9
SKY: Final = 10
PERSON: Final = 11
RIDER: Final = 12
CAR: Final = 13
TRUCK: Final = 14
BUS: Final = 15
MOTORCYCLE: Final = 17
BICYCLE: Final = 18
NONE: Final = 255
