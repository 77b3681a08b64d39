"""The ground: road with markings, pavement with kerb, grass and paved lots, as a strip of texture along the street.

A strip is made chunk by chunk and kept at several resolutions along and across the street, because a picture row at
distance z needs focal / z texels per metre across but only focal * camera height / z^2 along (a ripmap). For a small
picture a chunk is made no finer than the middle row of the ground needs.
"""

# U texels across the street, V texels along it, C channels (RGB)

from dataclasses import dataclass

import cv2
import numpy as np

from streams.synthetic.camera import CAMERA_HEIGHT_M, Lens, Path, Pose
from streams.synthetic.classes import ROAD, SIDEWALK, TERRAIN
from streams.synthetic.randomness import generator
from streams.synthetic.textures import Colour, Detail, asphalt, grass, noise, paving
from streams.synthetic.world_layout import CHUNK_M, Chunk, Street

HALF_WIDTH_M = 16.0
NUM_CHUNKS = 7
_ACROSS_PX, _ALONG_PX = 24, 16
_FOLD_FROM_M, _FOLD_SPAN_M = 13.0, 2.8
_MAX_DISTANCE_M = 160.0
_PAINT_WHITE: Colour = (214, 214, 208)


@dataclass(frozen=True, slots=True)
class Grid:
    """Texels of a chunk: how often the full resolution is halved across and along the street."""

    across: int
    along: int

    @property
    def size_VU(self) -> tuple[int, int]:
        return (CHUNK_M * _ALONG_PX >> self.along, round(2 * HALF_WIDTH_M * _ACROSS_PX) >> self.across)

    @property
    def detail(self) -> Detail:
        return (0.5**self.along, 0.5**self.across)

    def columns(self, start_m: float, stop_m: float) -> slice:
        """Columns between two distances from the centre line, in either order."""
        low, high = sorted((start_m, stop_m))
        px = _ACROSS_PX * 0.5**self.across
        return slice(round((low + HALF_WIDTH_M) * px), round((high + HALF_WIDTH_M) * px))

    def rows(self, start_m: float, stop_m: float) -> slice:
        """Rows between two distances from the start of the chunk; what lies before it is cut off."""
        px = _ALONG_PX * 0.5**self.along
        return slice(max(0, round(start_m * px)), round(stop_m * px))


class Materials:
    """Surfaces of one street, drawn once: two pieces each, so that neighbours differ."""

    def __init__(self, seed: int, grid: Grid) -> None:
        rng = generator(seed, 60)
        size, detail = grid.size_VU, grid.detail
        self.grid = grid
        grey = float(rng.uniform(70, 112))
        tint = rng.uniform(-5, 5, 2)
        side = float(rng.uniform(146, 184))
        warm = float(rng.uniform(-4, 14))
        green = rng.uniform((74, 108, 40), (112, 136, 58))
        slab = (int(rng.integers(9, 22)), int(rng.integers(14, 30)))
        self.asphalt = [asphalt(rng, size, (grey + tint[0], grey, grey + tint[1]), detail=detail) for _ in range(2)]
        self.paving = [paving(rng, size, (side + warm, side, side - warm), slab, detail=detail) for _ in range(2)]
        self.grass = [grass(rng, size, (green[0], green[1], green[2]), detail=detail) for _ in range(2)]
        self.kerb: Colour = (side * 1.12, side * 1.12, side * 1.08)
        self.wear = np.clip(0.82 + 0.16 * noise(rng, size, cell_px=24, octaves=3, detail=detail), 0.25, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """`NUM_CHUNKS` chunks of ground from `start_m` on: pictures by (across, along) reduction, and one label map."""

    start_m: float
    pictures: dict[tuple[int, int], np.ndarray]
    label_VU: np.ndarray


class Ground:
    """Draws the strips of one street into pictures of one lens."""

    def __init__(self, street: Street, lens: Lens, *, sun_3: np.ndarray) -> None:
        self._street = street
        self._sun_3 = sun_3
        self.first_row = int(np.ceil(lens.centre_y + lens.focal * CAMERA_HEIGHT_M / _MAX_DISTANCE_M))
        rows = np.arange(self.first_row, lens.height, dtype=np.float32)
        self._depth_H1 = (lens.focal * CAMERA_HEIGHT_M / (rows - np.float32(lens.centre_y)))[:, None].astype(np.float32)
        self._x_W = ((np.arange(lens.width, dtype=np.float32) - lens.centre_x) / lens.focal).astype(np.float32)
        depth = self._depth_H1[:, 0]
        across = np.clip(np.floor(np.log2(_ACROSS_PX * depth / lens.focal)), 0, 3).astype(int)
        along = np.clip(np.floor(np.log2(_ALONG_PX * depth**2 / (lens.focal * CAMERA_HEIGHT_M)) + 0.3), 0, 6).astype(
            int
        )
        most = int(-np.log2(lens.detail))
        self._grid = Grid(min(most, int(np.median(across))), min(most, int(np.median(along))))
        levels = zip(
            np.maximum(across, self._grid.across).tolist(), np.maximum(along, self._grid.along).tolist(), strict=True
        )
        self._bands = _bands(list(levels))
        self._materials = Materials(street.seed, self._grid)

    def levels(self) -> set[tuple[int, int]]:
        """The reductions that pictures of this lens use."""
        return {level for _, _, level in self._bands}

    def chunk_pictures(self, chunk: Chunk, neighbours: tuple[Chunk, Chunk]) -> tuple[np.ndarray, np.ndarray]:
        """(picture, label) of one chunk at the resolution of `Grid`, shadows of its neighbours included."""
        return _chunk_texture(chunk, neighbours, self._street, (self._materials, self._sun_3))

    def strip(self, start_chunk: int, chunks: list[tuple[np.ndarray, np.ndarray]]) -> Strip:
        """Join the pictures of consecutive chunks into a strip."""
        picture = np.concatenate([chunk[0] for chunk in chunks])
        fine_V, fine_U = picture.shape[:2]
        pictures = {}
        for across, along in sorted(self.levels()):
            size = (fine_U >> across - self._grid.across, fine_V >> along - self._grid.along)
            if picture.shape[1::-1] != size:
                picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            pictures[across, along] = picture
        return Strip(start_chunk * CHUNK_M, pictures, np.concatenate([chunk[1] for chunk in chunks]))

    def draw(self, image_HW4: np.ndarray, label_HW: np.ndarray, strip: Strip, pose: Pose) -> None:
        """Fill all rows below the horizon."""
        cos, sin = np.float32(np.cos(pose.yaw)), np.float32(np.sin(pose.yaw))
        ahead = self._depth_H1 * (cos - self._x_W * sin)
        lateral = self._depth_H1 * (self._x_W * cos + sin)
        lateral -= _centre_offset(self._street.path, pose, ahead)
        folded = np.abs(lateral) - np.float32(_FOLD_FROM_M)
        beyond = folded > 0
        wave = np.abs(
            np.mod(folded + np.float32(_FOLD_SPAN_M), np.float32(2 * _FOLD_SPAN_M)) - np.float32(_FOLD_SPAN_M)
        )
        lateral = np.where(beyond, np.copysign(np.float32(_FOLD_FROM_M) + wave, lateral), lateral)
        u = (lateral + np.float32(HALF_WIDTH_M)) * np.float32(_ACROSS_PX)
        v = (ahead + np.float32(pose.z - strip.start_m)) * np.float32(_ALONG_PX)
        finest = (self._grid.across, self._grid.along)
        label_HW[self.first_row :] = _looked_up(strip.label_VU, u, v, finest, cv2.INTER_NEAREST)
        for start, stop, level in self._bands:
            rows = slice(self.first_row + start, self.first_row + stop)
            picture = strip.pictures[level]
            image_HW4[rows] = _looked_up(picture, u[start:stop], v[start:stop], level, cv2.INTER_LINEAR)

    def inverse_depth(self) -> np.ndarray:
        """(rows below the horizon, 1) float32, 1 / metres."""
        return np.asarray(1 / self._depth_H1)


def _looked_up(
    texture: np.ndarray, u: np.ndarray, v: np.ndarray, level: tuple[int, int], interpolation: int
) -> np.ndarray:
    """Texture of an (across, along) reduction at places in texels of the full resolution."""
    shrink_u, shrink_v = np.float32(0.5 ** level[0]), np.float32(0.5 ** level[1])
    map_u = u * shrink_u + (shrink_u - 1) / 2
    map_v = v * shrink_v + (shrink_v - 1) / 2
    return np.asarray(cv2.remap(texture, map_u, map_v, interpolation, borderMode=cv2.BORDER_REPLICATE))


def _centre_offset(path: Path, pose: Pose, ahead: np.ndarray) -> np.ndarray:
    """Lateral distance from the camera to the centre line at each pixel, from a table in steps of half a metre."""
    steps = np.arange(-80.0, _MAX_DISTANCE_M * 1.3, 0.5)
    table = (path.centre(pose.z + steps) - pose.x).astype(np.float32)
    place = (ahead + np.float32(80.0)) * np.float32(2.0)
    return np.asarray(
        cv2.remap(table[None], place, np.zeros_like(place), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def _bands(levels: list[tuple[int, int]]) -> list[tuple[int, int, tuple[int, int]]]:
    bands = []
    start = 0
    for row in range(1, len(levels) + 1):
        if row == len(levels) or levels[row] != levels[start]:
            bands.append((start, row, levels[start]))
            start = row
    return bands


def _chunk_texture(
    chunk: Chunk, neighbours: tuple[Chunk, Chunk], street: Street, look: tuple[Materials, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    materials, sun_3 = look
    grid = materials.grid
    rng = generator(street.seed, 61, chunk.index)
    pick = int(rng.integers(2))
    picture = materials.asphalt[pick].copy()
    label = np.full(picture.shape[:2], ROAD, np.uint8)
    edge, back = street.half_road_m, street.half_road_m + street.pavement_m
    for side, lot in ((-1, chunk.left), (1, chunk.right)):
        _fill(picture, label, grid.columns(side * edge, side * back), materials.paving[pick], SIDEWALK)
        surface, train_id = (materials.grass[pick], TERRAIN) if lot.is_green else (materials.paving[1 - pick], SIDEWALK)
        _fill(picture, label, grid.columns(side * back, side * HALF_WIDTH_M), surface, train_id)
        if lot.is_green and street.has_verge:
            strip = grid.columns(side * (edge + 0.2), side * (edge + 1.2))
            _fill(picture, label, strip, materials.grass[pick], TERRAIN)
        verge = grid.columns(side * (edge + 0.02), side * (edge + 0.20))
        picture[:, verge] = np.array(materials.kerb).astype(np.uint8)
        gutter = grid.columns(side * (edge - 0.10), side * (edge + 0.02))
        picture[:, gutter] = (picture[:, gutter] * 0.6).astype(np.uint8)
    if chunk.is_junction:
        rows = grid.rows(8, 18)
        picture[rows] = materials.asphalt[pick][rows]
        label[rows] = ROAD
    _patches(picture, label, grid, rng)
    _markings(picture, chunk, street, materials)
    shade = _shadows(chunk, neighbours, sun_3)
    shade = cv2.resize(shade, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_LINEAR)
    shaded = cv2.multiply(picture, cv2.merge([shade, shade, shade]), scale=1 / 255)
    alpha = np.full((*label.shape, 1), 255, np.uint8)
    return np.concatenate([shaded, alpha], axis=2), label


def _fill(picture: np.ndarray, label: np.ndarray, columns: slice, surface: np.ndarray, train_id: int) -> None:
    picture[:, columns] = surface[:, columns]
    label[:, columns] = train_id


def _patches(picture: np.ndarray, label: np.ndarray, grid: Grid, rng: np.random.Generator) -> None:
    """Repairs and manhole covers on the road; drawn in texels of the full resolution."""
    across, along = grid.across, grid.along
    for _ in range(int(rng.integers(1, 4))):
        top, left = int(rng.integers(0, 320)), int(rng.integers(240, 500))
        height, width = int(rng.integers(20, 90)), int(rng.integers(14, 60))
        window = (slice(top >> along, top + height >> along), slice(left >> across, left + width >> across))
        gain = np.where(label[window] == ROAD, float(rng.uniform(0.78, 1.12)), 1.0)[..., None]
        picture[window] = np.clip(picture[window] * gain, 0, 255).astype(np.uint8)
    centre = (int(rng.integers(300, 460)) >> across, int(rng.integers(30, 350)) >> along)
    radii = (9 >> across, 6 >> along)
    cv2.ellipse(picture, centre, radii, 0, 0, 360, (62, 60, 58), -1)
    cv2.ellipse(picture, centre, radii, 0, 0, 360, (36, 36, 36), 1)


def _markings(picture: np.ndarray, chunk: Chunk, street: Street, materials: Materials) -> None:
    """Lane lines, edge lines, crossings and stop lines, thinned by wear."""
    grid = materials.grid
    mask = np.zeros(picture.shape[:2], np.uint8)
    for offset, is_dashed in street.lines_m:
        line = grid.columns(offset - 0.075, offset + 0.075)
        for dash_m in range(0, CHUNK_M, 8):
            mask[grid.rows(dash_m, dash_m + (4 if is_dashed else 8)), line] = 255
    if chunk.is_junction:
        mask[grid.rows(2, 22)] = 0
    for start in chunk.crossings_m:
        band = grid.rows(start, start + 3.0)
        mask[grid.rows(start - 2.0, start + 5.0)] = 0
        for left in np.arange(-street.half_road_m + 0.3, street.half_road_m - 0.4, 1.0):
            mask[band, grid.columns(left, left + 0.5)] = 255
        mask[grid.rows(start - 1.6, start - 1.2), grid.columns(0.1, street.half_road_m - 0.2)] = 255
    on = mask > 0
    share = materials.wear[on][:, None]
    white = np.array(_PAINT_WHITE, np.float32)
    picture[on] = (picture[on] * (1 - share) + white * share).astype(np.uint8)


def _shadows(chunk: Chunk, neighbours: tuple[Chunk, Chunk], sun_3: np.ndarray) -> np.ndarray:
    """Brightness (255 lit) of the chunk's ground under the shadows of houses and trees; 4 texels per metre."""
    scale = 4
    shade = np.full((CHUNK_M * scale, round(2 * HALF_WIDTH_M * scale)), 255, np.uint8)
    if sun_3[1] > -0.05:
        return shade
    run = sun_3[[0, 2]] / sun_3[1]
    for other in (*neighbours, chunk):
        shift = (other.index - chunk.index) * CHUNK_M
        for u0, u1, v0, v1, tall in other.boxes_m:
            base = np.array([(u0, v0), (u1, v0), (u1, v1), (u0, v1)])
            corners = np.concatenate([base, base + run * tall]) + np.array([HALF_WIDTH_M, shift])
            outline = cv2.convexHull((corners * scale).astype(np.float32))
            cv2.fillPoly(shade, [np.round(outline).astype(np.int32)], 142)
        for u, v, radius, tall in other.crowns_m:
            place = np.array([u, v]) + run * tall * 0.6 + (HALF_WIDTH_M, shift)
            at = (round(place[0] * scale), round(place[1] * scale))
            cv2.ellipse(shade, at, (round(radius * scale), round(1.3 * radius * scale)), 0, 0, 360, 156, -1)
    return np.asarray(cv2.GaussianBlur(shade, (0, 0), 1.6))
