"""What a file of torch.save asks to be made, looked at before torch makes it.

``torch.load(weights_only=True)`` runs no code of a file's choosing, but makes what it names from a list of torch's, on which
are things that take any amount of memory, such as a bytearray of a given length. A state dict needs few of them.
"""

from __future__ import annotations

import io
import os
import pickletools
import re
import zipfile

from fastnet import files

__all__ = ["check_torch_file"]

#: What files of tensors name, as "module name"; of torch also its storages and dtypes.
NAMES = {
    "builtins dict", "builtins set", "collections Counter", "collections OrderedDict", "collections defaultdict", "torch Size",
    "torch Tensor", "torch device", "torch._tensor _rebuild_from_type_v2", "torch.nn.parameter Buffer",
    "torch.nn.parameter Parameter",
    "torch.serialization _get_layout", "torch.storage TypedStorage", "torch.storage UntypedStorage",
    *(f"torch._utils _rebuild_{what}" for what in ("meta_tensor_no_storage", "parameter", "parameter_with_state", "sparse_tensor",
                                                   "tensor", "tensor_v2", "tensor_v3")),
}  # fmt: skip
TYPES = re.compile(
    r"torch (\w+Storage|b?float\d+\w*|u?int\d+|complex\d+|bool|float|double|half|int|long|short)", re.ASCII
)
OLD_PICKLES = 5  # of a file from before torch 1.6: magic number, version, system, the dict, the names of its storages


def check_torch_file(path: str) -> None:
    """Refuse a file that is compressed, claims more than it has, or names what no state dict has.

    Raises
    ------
    ValueError
        It does, or is damaged.
    """
    if not files.is_archive(path):
        with open(path, "rb") as file:
            _check_pickles(path, io.BytesIO(file.read()), OLD_PICKLES)
        return
    with files.opened_archive(path, "a file of torch.save") as archive:
        items = archive.infolist()
        if any(item.compress_type != zipfile.ZIP_STORED for item in items):
            raise ValueError(f"{path} is compressed, which files of torch.save are not")
        if sum(item.file_size for item in items) > os.path.getsize(path):
            raise ValueError(f"{path} claims to hold more than its size")
        for item in items:
            if item.filename.endswith(".pkl"):
                _check_pickles(path, io.BytesIO(archive.read(item)), 1)


def _check_pickles(path: str, content: io.BytesIO, count: int) -> None:
    try:
        for _ in range(count):
            for operation, argument, _ in pickletools.genops(content):
                if operation.name in ("GLOBAL", "INST"):
                    _check_name(path, str(argument))
                elif operation.name == "STACK_GLOBAL":  # whose two texts may be anywhere
                    raise ValueError(f"{path} is pickled in a way that torch.save does not use")
    except (IndexError, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise ValueError(f"{path} can't be read as a file of torch.save: {error}") from None
    except ValueError as error:
        if str(error).startswith(path):
            raise
        raise ValueError(f"{path} can't be read as a file of torch.save: {error}") from None


def _check_name(path: str, name: str) -> None:
    if name not in NAMES and not TYPES.fullmatch(name):
        raise ValueError(
            f"{path} holds more than tensors, {name.replace(' ', '.')}, and fastnet runs no code from files: "
            "save module.state_dict(), not the module"
        )
