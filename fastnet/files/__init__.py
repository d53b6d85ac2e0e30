"""Files: atomic writing, safetensors with one JSON document, and the classes that files may name."""

from fastnet.files.atomic import csv_text, existing_file, missing_file, write_bytes, write_csv
from fastnet.files.documents import plain, read_json, read_rows, write_json
from fastnet.files.registry import from_config, register, to_config
from fastnet.files.tensors import read_safetensors, write_safetensors

__all__ = [
    "csv_text",
    "existing_file",
    "from_config",
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
