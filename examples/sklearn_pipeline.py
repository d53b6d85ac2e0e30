"""NetClassifier in scikit-learn's tools: a pipeline, a grid search, calibrated probabilities."""

from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastnet.estimators import NetClassifier


def main(max_iter: int = 300) -> None:
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, stratify=y, random_state=0)
    net = NetClassifier(
        hidden_layer_sizes=(32,), dropout=0.2, learning_rate_init=0.01, max_iter=max_iter, random_state=0
    )
    pipeline = make_pipeline(StandardScaler(), net)
    search = GridSearchCV(pipeline, {"netclassifier__alpha": [1e-4, 1e-2], "netclassifier__dropout": [0.0, 0.3]}, cv=3)
    search.fit(x_train, y_train)
    print("best:", search.best_params_)
    print(f"accuracy on the test set: {search.score(x_test, y_test):.1%}")
    calibrated = CalibratedClassifierCV(search.best_estimator_, cv=3).fit(x_train, y_train)
    print("probabilities, calibrated:", calibrated.predict_proba(x_test[:2]).round(3).tolist())
    first = search.best_estimator_[-1].coefs_[0]
    print("first weights:", first.shape, "of", list(x.columns[:2]), "and others")


if __name__ == "__main__":
    main()
