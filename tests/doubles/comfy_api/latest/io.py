from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace


class Socket:
    def __init__(self, io_type, id=None, **options):
        self.io_type = io_type
        self.id = id
        for name in ("display_name", "tooltip", "optional", "advanced", "lazy", "options"):
            setattr(self, name, options.pop(name, None))
        for name, value in options.items():
            setattr(self, name, value)


class Kind:
    def __init__(self, io_type):
        self.io_type = io_type

    def Input(self, id, **options):
        return Socket(self.io_type, id, **options)

    def Output(self, id=None, **options):
        return Socket(self.io_type, id, **options)


Custom = Kind
Image, Mask, BoundingBox = Kind("IMAGE"), Kind("MASK"), Kind("BOUNDING_BOX")
Video = Kind("VIDEO")
Int, Float, String, Boolean = Kind("INT"), Kind("FLOAT"), Kind("STRING"), Kind("BOOLEAN")
Combo, UpscaleModel = Kind("COMBO"), Kind("UPSCALE_MODEL")


class Hidden(str, Enum):
    unique_id = "UNIQUE_ID"


@dataclass
class Schema:
    node_id: str
    display_name: str
    category: str
    description: str
    inputs: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    hidden: list = field(default_factory=list)
    search_aliases: list = field(default_factory=list)
    has_intermediate_output: bool = False
    is_output_node: bool = False


class NodeOutput:
    def __init__(self, *args, ui=None):
        self.args = args
        self.ui = ui

    def __getitem__(self, index):
        return self.args[index]


class ComfyNode:
    hidden = SimpleNamespace(unique_id=None)

    @classmethod
    def GET_SCHEMA(cls):
        return cls.define_schema()

    @classmethod
    def PREPARE_CLASS_CLONE(cls, v3_data):
        return type(cls.__name__, (cls,), {})
