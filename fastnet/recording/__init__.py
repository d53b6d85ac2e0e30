"""Record once: layers say which kernels they need; what comes out is a program that replays without Python."""

from fastnet.recording.context import Context
from fastnet.recording.program import Program, Workspace
from fastnet.recording.recording import Memory, Recording, Tensor

__all__ = ["Context", "Memory", "Program", "Recording", "Tensor", "Workspace"]
