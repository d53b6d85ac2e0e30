"""Files: atomic writing, safetensors with one JSON document, and the classes that files may name."""

from fastnet.files.atomic import (
    append_bytes,
    csv_text,
    end_last_line,
    existing_file,
    holds_something,
    make_directory,
    missing_file,
    write_bytes,
    write_csv,
)
from fastnet.files.documents import plain, read_json, read_rows, write_json
from fastnet.files.registry import from_config, register, to_config
from fastnet.files.tensors import read_safetensors, write_safetensors

__all__ = [
    "append_bytes",
    "csv_text",
    "end_last_line",
    "existing_file",
    "from_config",
    "holds_something",
    "make_directory",
    "missing_file",
    "plain",
    "read_json",
    "read_rows",
    "read_safetensors",
    "register",
    "to_config",
    "write_bytes",
    "write_csv",
    "write_json",
    "write_safetensors",
]
