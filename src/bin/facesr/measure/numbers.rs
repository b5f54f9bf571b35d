//! The figures for machines.

use gstfacesr::metrics::{Better, Metric, MetricError};
use serde_json::{Map, Value, json};

use super::cuts::Cuts;
use super::measuring::{Materials, Results, Score, worst};

/// One object:
///
/// | field | |
/// |---|---|
/// | `reference`, `test`, `baseline` | the files; `baseline` may be null |
/// | `frames`, `width`, `height` | of each of them |
/// | `cuts` | `source`: `given` or `detected`; `frames`: where scenes begin |
/// | `metrics` | by name: `value`, `unit`, `better` (`higher`, `lower`), `worst_frame`, `series` (pairs of frame and figure) |
/// | `baseline_metrics` | the same for `baseline`, or null |
/// | `not_measured` | by name: the reason |
///
/// A `value` is null where no frame could be measured, such as a metric over time of one frame.
pub fn object(materials: &Materials<'_>, cuts: &Cuts, results: &Results) -> Value {
    let path = |at: usize| materials.contenders.get(at).map(|contender| contender.path);
    json!({
        "reference": materials.reference,
        "test": path(0),
        "baseline": path(1),
        "frames": results.frames,
        "width": results.size.width,
        "height": results.size.height,
        "cuts": { "source": cuts.source(), "frames": cuts.list() },
        "metrics": metrics(&results.scores[0]),
        "baseline_metrics": results.scores.get(1).map(metrics),
        "not_measured": absent(&results.scores[0]),
    })
}

fn metrics(score: &Score) -> Map<String, Value> {
    let found = score.measured.iter().filter_map(|(metric, found)| Some((metric, found.as_ref().ok()?)));
    let object = |metric: &Metric, outcome| {
        json!({
            "value": outcome_value(outcome),
            "unit": metric.unit,
            "better": better(metric),
            "worst_frame": worst(metric, outcome).map(|(frame, _)| frame),
            "series": outcome.series,
        })
    };
    found.map(|(metric, outcome)| (metric.name.to_owned(), object(metric, outcome))).collect()
}

fn outcome_value(outcome: &gstfacesr::metrics::Outcome) -> Option<f64> {
    outcome.value
}

/// Which way a metric improves, in a word.
pub fn better(metric: &Metric) -> &'static str {
    match metric.better {
        Better::Higher => "higher",
        Better::Lower => "lower",
    }
}

/// The metrics that were not measured, and why.
pub fn absent(score: &Score) -> Map<String, Value> {
    let reasons = score.measured.iter().filter_map(|(metric, found)| Some((metric, found.as_ref().err()?)));
    reasons.map(|(metric, err)| (metric.name.to_owned(), reason(err).into())).collect()
}

/// Why there is no figure, without saying that there is none.
pub fn reason(err: &MetricError) -> String {
    match err {
        MetricError::NotMeasured(reason) => (*reason).into(),
        err => err.to_string(),
    }
}
