//! One page that holds everything: pictures behind a slider, and every metric over time.
//!
//! The page is `page.html` with its style, its script and the data put in. It needs no network and no
//! other file.

mod gallery;

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::measure::cuts::Cuts;
use crate::measure::measuring::{Results, worst};
use crate::measure::numbers;

pub use gallery::{Gallery, SHOWN, Side, visit};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What a page tells.
pub struct Report<'a> {
    /// Its heading.
    pub title: String,
    /// The pictures.
    pub gallery: Gallery<'a>,
    /// The figures, where there are any.
    pub results: Option<&'a Results>,
    /// Where scenes begin.
    pub cuts: &'a Cuts,
}

impl Report<'_> {
    /// The page, for clips of `count` frames.
    pub fn html(&self, count: usize) -> Result<String, Failure> {
        let worst = self.results.map(worst_frames).unwrap_or_default();
        let data = json!({
            "count": count,
            "sides": self.gallery.sides.iter().map(|side| json!({ "label": side.label, "file": side.name() }))
                .collect::<Vec<_>>(),
            "left": self.gallery.left,
            "pairs": self.gallery.pictures(count, &worst)?,
            "cuts": self.cuts.list(),
            "cuts_told": self.results.map(|_| self.cuts.told()),
            "metrics": self.results.map(metrics).unwrap_or_default(),
            "not_measured": self.results.map(|results| numbers::absent(&results.scores[0])),
        });
        // Only this could end the script element that holds it too early.
        let data = data.to_string().replace('<', "\\u003c");
        Ok(fill(&[("title", &escaped(&self.title)), ("style", STYLE), ("data", &data), ("script", SCRIPT)]))
    }
}

/// Puts each text where its name stands in the page. One pass, so that no text is looked
/// into for names.
fn fill(texts: &[(&str, &str)]) -> String {
    let mut page = String::new();
    for (number, part) in PAGE.split("{{").enumerate() {
        let Some((name, rest)) = part.split_once("}}").filter(|_| number > 0) else {
            page.push_str(part);
            continue;
        };
        page.push_str(texts.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text));
        page.push_str(rest);
    }
    page
}

/// Text as HTML shows it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The worst frame of each metric of the clip that matters.
fn worst_frames(results: &Results) -> Vec<usize> {
    let found = results.scores[0].measured.iter();
    found.filter_map(|(metric, found)| Some(worst(metric, found.as_ref().ok()?)?.0)).collect()
}

fn metrics(results: &Results) -> Vec<Value> {
    let found =
        results.scores[0].measured.iter().filter_map(|(metric, found)| Some((metric, found.as_ref().ok()?)));
    let object = |(metric, outcome): (&&'static gstfacesr::metrics::Metric, _)| {
        let series = |score: &crate::measure::measuring::Score| {
            let outcome = score.outcome(metric)?;
            Some(json!({ "label": score.label, "value": outcome.value, "points": outcome.series }))
        };
        json!({
            "name": metric.name,
            "unit": metric.unit,
            "better": numbers::better(metric),
            "meaning": metric.meaning,
            "worst": worst(metric, outcome).map(|(frame, _)| frame),
            "series": results.scores.iter().filter_map(series).collect::<Vec<_>>(),
        })
    };
    found.map(object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_page_is_filled_and_no_text_is_looked_into() {
        let page = fill(&[("title", "{{data}}"), ("style", "S"), ("data", "D"), ("script", "J")]);
        assert_eq!(page.matches("{{data}}").count(), PAGE.matches("{{title}}").count());
        assert!(!page.replace("{{data}}", "").contains("{{"));
    }

    #[test]
    fn the_page_names_no_address() {
        for text in [PAGE, STYLE, SCRIPT] {
            let own = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!own.contains("http") && !own.contains("src=\"//") && !own.contains("@import"));
        }
    }

    #[test]
    fn names_of_files_cannot_become_markup() {
        assert_eq!(escaped("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
