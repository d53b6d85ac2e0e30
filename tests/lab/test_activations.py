"""What activation functions must show, and texts that follow."""

import pytest
from lab_runs import numbers, text_of

from fastnet.lab import activations


def test_distributions_are_shares():
    for net in numbers("activations")["networks"].values():
        for look in (net["first"], net["last"]):
            assert [sum(layer) for layer in look["values"]] == pytest.approx([1.0] * activations.LAYERS)
            assert all(0 <= share <= 1 for share in [*look["flat"], *look["dead"]])
        assert [sum(net["weights_before"]), sum(net["weights_after"])] == pytest.approx([1, 1])


def test_what_theory_says_of_first_weights():
    nets = numbers("activations")["networks"]
    # The slope of a sigmoid is at most 1/4, and Xavier's weights between equal layers keep the size of what they multiply:
    # four layers pass on less than 4^-4 of the error, up to the chance of 64 neurons and the larger values before them.
    gradients = nets["sigmoid"]["gradients_at_first"]
    assert gradients[0] / gradients[-1] < 4 * 4.0**-4
    assert 0.1 < nets["relu"]["gradients_at_first"][0] / nets["relu"]["gradients_at_first"][-1] < 10
    # Sums of weights that are symmetric around 0 are negative half of the time: the relu is flat on half of them.
    assert nets["relu"]["first"]["flat"][0] == pytest.approx(0.5, abs=3 * 0.5 / 64**0.5)
    assert nets["sigmoid"]["first"]["mean"][-1] == pytest.approx(0.5, abs=0.1)


def test_leaky_relu_has_no_dead_neurons():
    high = numbers("activations")["high"]
    assert set(high["leaky_relu"]["dead_over_time"]) == {0.0}
    assert max(high["relu"]["dead_over_time"]) > 0.01


def test_the_text_follows_the_numbers(undrawn):
    found = numbers("activations")
    assert "gradient <em>vanishes</em>" in text_of(activations.page(found))
    nets = found["networks"]
    nets["sigmoid"]["curves"]["val_accuracy"][-1] = 0.99
    nets["relu"]["curves"]["val_accuracy"][-1] = 0.5
    nets["sigmoid"]["gradients_at_first"] = [1.0] * activations.LAYERS
    found["high"]["relu"]["dead_over_time"][-1] = 0.0
    for net in nets.values():
        net["weights_change"] = 2.0
    doctored = text_of(activations.page(found))
    assert "Against the textbooks the sigmoid is not behind relu" in doctored
    assert "vanishes" not in doctored and "where they start matters" not in doctored
    assert "did not have fewer dead neurons" in doctored
    nets["sigmoid"]["curves"]["val_accuracy"][-1] = 0.7
    nets["relu"]["curves"]["val_accuracy"][-1] = 0.9
    assert "The sigmoid is behind relu" in text_of(activations.page(found))
    nets["sigmoid"]["curves"]["val_accuracy"][-1] = 0.1
    assert "hardly learned anything" in text_of(activations.page(found))
