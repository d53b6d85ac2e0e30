"""scikit-learn estimators on fastnet's networks: `NetClassifier` and `NetRegressor`.

They take the parameters of `MLPClassifier` and `MLPRegressor`, with the same meaning and defaults, and more. Needs scikit-learn
1.6 or later: ``pip install fastnet-cpu[sklearn]``.
"""

try:
    import sklearn.utils.validation  # noqa: F401
except ImportError as error:
    raise ImportError(f"fastnet.estimators needs scikit-learn: pip install fastnet-cpu[sklearn] ({error})") from error

from fastnet.estimators.classifier import NetClassifier
from fastnet.estimators.regressor import NetRegressor

__all__ = ["NetClassifier", "NetRegressor"]
