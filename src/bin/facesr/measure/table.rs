//! The figures for people.

use std::fmt::Write;

use gstfacesr::metrics::{Metric, Outcome};

use super::cuts::Cuts;
use super::measuring::{Materials, Results, worst};
use super::numbers::{better, reason};

/// Digits that matter of a figure.
const DIGITS: i32 = 4;

/// A table of every metric that was measured, and the reasons why others were not.
pub fn text(materials: &Materials<'_>, cuts: &Cuts, results: &Results) -> String {
    let mut text = format!(
        "{} against {}\n{} frames of {}, counted from 0; {}\n\n",
        materials.contenders[0].path.display(),
        materials.reference.display(),
        results.frames,
        results.size,
        cuts.told()
    );
    let with_baseline = results.scores.len() > 1;
    let mut head = vec!["metric".to_owned()];
    head.extend(results.scores.iter().map(|score| score.label.to_owned()));
    if with_baseline {
        head.push("change".into());
    }
    head.extend(["unit", "better", "worst frame"].map(Into::into));
    let mut rows = vec![head];
    for (metric, found) in &results.scores[0].measured {
        let Ok(outcome) = found else { continue };
        let figures: Vec<_> = results
            .scores
            .iter()
            .map(|score| score.outcome(metric).and_then(|outcome| outcome.value))
            .collect();
        let mut row = vec![metric.name.to_owned()];
        row.extend(figures.iter().map(|figure| figure.map_or("-".into(), number)));
        if with_baseline {
            row.push(change(metric, figures[0], figures[1]));
        }
        row.extend([metric.unit.to_owned(), better(metric).to_owned(), worst_of(metric, outcome)]);
        rows.push(row);
    }
    text.push_str(&aligned(&rows));
    let mut absent = results.scores[0].measured.iter().filter_map(|(metric, found)| {
        found.as_ref().err().map(|err| format!("{:<20} {}\n", metric.name, reason(err)))
    });
    if let Some(first) = absent.next() {
        let _ = write!(text, "\nnot measured:\n{first}");
        text.extend(absent);
    }
    text
}

/// Columns as wide as their widest cell, numbers to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let is_number = (1..columns - 3).contains(&column);
            if is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A figure to as many digits as matter.
pub fn number(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let decimals = (DIGITS - 1 - magnitude).clamp(0, 8) as usize;
    format!("{value:.decimals$}")
}

/// A share where figures are amounts, a difference where they are decibels or may be negative.
fn change(metric: &Metric, result: Option<f64>, baseline: Option<f64>) -> String {
    let (Some(result), Some(baseline)) = (result, baseline) else { return "-".into() };
    let is_amount = metric.unit != "dB" && result > 0.0 && baseline > 0.0;
    if is_amount { format!("x{:.3}", result / baseline) } else { format!("{:+.3}", result - baseline) }
}

fn worst_of(metric: &Metric, outcome: &Outcome) -> String {
    worst(metric, outcome).map_or(String::new(), |(frame, value)| format!("{frame} ({})", number(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_the_digits_that_matter() {
        for (value, expected) in [
            (28.4, "28.40"),
            (0.000_812_345, "0.0008123"),
            (-0.5512, "-0.5512"),
            (0.0, "0.000"),
            (100.0, "100.0"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 5]| cells.map(Into::into).to_vec();
        let text =
            aligned(&[row(["metric", "v", "unit", "better", "worst"]), row(["a", "12.5", "dB", "x", ""])]);
        assert_eq!(text, "metric     v  unit  better  worst\na       12.5  dB    x\n");
    }
}
