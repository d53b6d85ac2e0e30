"""The names of the files in the directory of a training run."""

__all__ = ["FINDINGS", "HEALTH", "HISTOGRAMS", "HISTORY", "INTERRUPTED_HISTORY", "MARK", "MODEL", "REPORT"]

MODEL, HISTORY = "model.safetensors", "history.csv"
#: What describes the run; written last, it marks it as finished.
MARK = "run.json"
INTERRUPTED_HISTORY = "history-interrupted.csv"
#: What a health monitor has seen and found, of a run that had one.
HEALTH, FINDINGS = "health.csv", "findings.json"
#: The histograms of the table's rows.
HISTOGRAMS = "health.safetensors"
REPORT = "report.html"
