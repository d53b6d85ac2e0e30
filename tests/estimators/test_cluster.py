"""Searches by joblib over the workers of Dask and Ray."""

import json

import pytest
from subprocesses import run

pytest.importorskip("sklearn", reason="scikit-learn's searches")

# Prints, as its last line: whether the search found the same without workers, to the bit, and the threads that each worker has.
SEARCH = """
import json, warnings
import joblib, numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from fastnet.estimators import NetClassifier

warnings.simplefilter("ignore", ConvergenceWarning)

def threads():
    import fastnet
    return fastnet.get_num_threads()

def search():
    x, y = load_digits(n_class=5, return_X_y=True)
    model = NetClassifier(hidden_layer_sizes=(16,), max_iter=5, random_state=0)
    return GridSearchCV(model, {"alpha": [1e-4, 1.0], "learning_rate_init": [1e-3, 1e-2]}, cv=2, n_jobs=2).fit(x, y)

def compare(backend):
    with joblib.parallel_config(backend):
        there = search()
    with joblib.parallel_config("sequential"):
        here = search()
    scores = [fitted.cv_results_["mean_test_score"] for fitted in (there, here)]
    return bool(np.array_equal(*scores) and len(set(scores[0])) > 1 and all(
        np.array_equal(a, b) for a, b in zip(there.best_estimator_.coefs_, here.best_estimator_.coefs_)))
"""

DASK = f"""{SEARCH}
from dask.distributed import Client, LocalCluster

with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
    counts = list(client.run(threads).values())
    print(json.dumps([compare("dask"), counts]))
"""

RAY = f"""{SEARCH}
import ray
from ray.util.joblib import register_ray

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
register_ray()
counts = ray.get([ray.remote(threads).remote() for _ in range(2)])
print(json.dumps([compare("ray"), counts]))
ray.shutdown()
"""


def same_and_threads(code, **environment):
    return json.loads(run(code, timeout=400, **environment).splitlines()[-1])


@pytest.mark.parametrize(("environment", "each"), [({}, 1), ({"FASTNET_NUM_THREADS": "2"}, 2)])
def test_workers_of_dask(environment, each):
    """One thread each, unless told otherwise."""
    pytest.importorskip("distributed", reason="Dask's workers")
    assert same_and_threads(DASK, **environment) == [True, [each, each]]


def test_workers_of_ray():
    pytest.importorskip("ray", reason="Ray's workers")
    assert same_and_threads(RAY) == [True, [1, 1]]
