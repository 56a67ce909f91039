"""The figure of accuracy against parameters: its points and their Pareto fronts."""

from thumbnets.report.charts import parameters_chart
from thumbnets.report.costs import plotted, plotted_sources
from thumbnets.report.findings import ensemble_row, model_rows
from thumbnets.report.published import published_points
from thumbnets.report.results import read_results


def test_front_holds_what_nothing_beats(make_run, monkeypatch):
    results = read_results(make_run())
    monkeypatch.setitem(results.metrics["cnn_c"], "parameters", 1000)
    found = plotted(results, [*model_rows(results), ensemble_row(results)])
    ours = {point.name: point for point in found if point.interval}
    # cnn_c is right on 38 of 40, as the ensemble, and has fewer parameters; mlp4 on 36 and 32.
    assert {name for name, point in ours.items() if point.front} == {"cnn_c"}
    published = [point for point in found if not point.interval]
    front = {(point.name, point.parameters) for point in published if point.front}
    # Of Fashion-MNIST's: cnn_b has less accuracy than cnn_c, and vgg8b 2x with global loss than 1x.
    assert front == {
        ("cnn_a", 2_174),
        ("cnn_c", 35_044),
        ("mlp", 2_900_000),
        ("vgg8b", 7_300_000),
        ("vgg8b_2x_predsim_cutout", 28_200_000),
    }
    assert plotted_sources(results)[0] == "Five Fashion-MNIST networks, table 1"


def test_published_accuracies_are_fractions():
    for dataset in ("fashion_mnist", "mnist", "kmnist", "cifar10", "cifar100", "svhn", "stl10"):
        points = published_points(dataset)
        assert points
        assert all(0.3 < p.accuracy < 1 and p.parameters > 1000 and p.source for p in points)


def test_chart_names_what_has_room(make_run):
    results = read_results(make_run())
    points = plotted(results, [*model_rows(results), ensemble_row(results)])
    (axis,) = parameters_chart(points).axes
    names = [text.get_text() for text in axis.texts]
    assert "mlp4" in names and len(names) < len(points)
    assert axis.get_xscale() == "log"


def test_a_data_set_without_published_points(make_run):
    results = read_results(make_run(data={"name": "digits"}))
    points = plotted(results, model_rows(results))
    assert all(point.interval for point in points)
    parameters_chart(points)
