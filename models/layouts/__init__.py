"""Layouts of weight files, one plain dict of names per program; in doubt the earlier one counts."""

from models.layouts.daformer import DAFORMER
from models.layouts.hamlet import HAMLET
from models.layouts.hrda import HRDA
from models.layouts.hugging_face import HUGGING_FACE
from models.layouts.layout import Layout
from models.layouts.mmsegmentation import MMSEGMENTATION
from models.layouts.native import NATIVE
from models.layouts.nvlabs import NVLABS

LAYOUTS: dict[str, Layout] = {
    layout.name: layout for layout in (NATIVE, NVLABS, HUGGING_FACE, MMSEGMENTATION, HAMLET, DAFORMER, HRDA)
}

__all__ = ["LAYOUTS", "Layout"]
