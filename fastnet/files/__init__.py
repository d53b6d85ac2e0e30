"""Files: atomic writing, safetensors with one JSON document, and the classes that files may name."""

from fastnet.files.archives import is_archive, opened_archive
from fastnet.files.atomic import (
    append_bytes,
    clear_error,
    csv_text,
    end_last_line,
    existing_file,
    holds_something,
    make_directory,
    missing_file,
    write_bytes,
    write_csv,
)
from fastnet.files.documents import parse_json, plain, read_json, read_rows, write_json
from fastnet.files.limits import allowed, check_claim, check_inside, taken_up
from fastnet.files.registry import class_name, find_class, from_config, register, to_config
from fastnet.files.tensors import read_metadata, read_safetensors, write_safetensors
from fastnet.files.values import pack, unpack

__all__ = [
    "allowed",
    "append_bytes",
    "check_claim",
    "check_inside",
    "class_name",
    "clear_error",
    "csv_text",
    "end_last_line",
    "existing_file",
    "find_class",
    "from_config",
    "holds_something",
    "is_archive",
    "make_directory",
    "missing_file",
    "opened_archive",
    "pack",
    "parse_json",
    "plain",
    "read_json",
    "read_metadata",
    "read_rows",
    "read_safetensors",
    "register",
    "taken_up",
    "to_config",
    "unpack",
    "write_bytes",
    "write_csv",
    "write_json",
    "write_safetensors",
]
