//! What ran and how fast: the element's own `stats`, and what the program adds.

use std::io::Write;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use serde_json::{Map, Value, json};

use super::output::Output;
use super::pipeline::Graph;
use crate::failure::Failure;

/// The account of a finished run.
pub struct Summary {
    /// What is wrong with IN.
    pub warnings: Vec<String>,
    frames: u64,
    seconds: f64,
    element: Map<String, Value>,
}

impl Summary {
    /// Asks the element, which must still hold its network.
    pub fn new(graph: &Graph, seconds: f64, warnings: Vec<String>) -> Summary {
        let stats = graph
            .enhancer
            .find_property("stats")
            .filter(|property| property.value_type() == gst::Structure::static_type())
            .and_then(|_| graph.enhancer.property::<Option<gst::Structure>>("stats"));
        let element = stats.map(|stats| from_structure(&stats)).unwrap_or_default();
        Summary { warnings, frames: graph.counts.enhanced(), seconds, element }
    }

    /// Everything the element tells, with the fields that are promised filled in:
    /// `frames`, `seconds`, `fps` (of the whole run), `provider`, `models`, `cuts`, `stages_ms`,
    /// `fallbacks`, `warnings`.
    pub fn to_json(&self) -> Value {
        let mut all = self.element.clone();
        let models = match (all.remove("models"), all.remove("model")) {
            (Some(models @ Value::Array(_)), _) => models,
            // The element names none where none runs.
            (Some(one), _) | (None, Some(one)) if one != "" => json!([one]),
            _ => json!([]),
        };
        all.insert("models".into(), models);
        // The one name that is not the element's own: a contract of `--stats`.
        if let Some(stages) = all.remove("stages-ms") {
            all.insert("stages_ms".into(), stages);
        }
        all.entry("provider").or_insert(Value::Null);
        all.entry("fallbacks").or_insert_with(|| json!([]));
        all.insert("frames".into(), self.frames.into());
        all.insert("seconds".into(), self.seconds.into());
        all.insert("fps".into(), self.fps().into());
        all.insert("warnings".into(), self.warnings.clone().into());
        Value::Object(all)
    }

    /// One line for people.
    pub fn sentence(&self) -> String {
        let all = self.to_json();
        let models: Vec<_> =
            all["models"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let by = match all["provider"].as_str() {
            Some(provider) if !models.is_empty() => format!("with {} on {provider}", models.join(", ")),
            _ => "without an upscaling network".into(),
        };
        let frames = if self.frames == 1 { "1 frame".into() } else { format!("{} frames", self.frames) };
        let fallbacks: Vec<_> =
            all["fallbacks"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut line = format!("{frames} in {:.1} s ({:.2} fps) {by}", self.seconds, self.fps(),);
        let restored = all["faces"]["restored"].as_u64().unwrap_or(0);
        if restored > 0 {
            let restorer = all["faces"]["restorer"].as_str().unwrap_or_default();
            line += &format!(", {restored} faces with {restorer}");
        }
        // On most machines `auto` has no choice, which takes a line of its own to explain.
        let (providers, others): (Vec<&str>, Vec<&str>) =
            fallbacks.into_iter().partition(|reason| reason.starts_with("providers not taken"));
        if !providers.is_empty() {
            line += " (`facesr doctor` says why on no other)";
        }
        if !others.is_empty() {
            line += &format!("; fell back: {}", others.join("; "));
        }
        line
    }

    /// Writes the account under its name, whole or not at all.
    pub fn save(&self, mut file: Output) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(&self.to_json())
            .map_err(|err| Failure::Failed(format!("cannot write the statistics: {err}")))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.write_all(b"\n"))
            .map_err(|err| Failure::Failed(format!("cannot write the statistics: {err}")))?;
        file.finish()
    }

    fn fps(&self) -> f64 {
        self.frames as f64 / self.seconds.max(1e-6)
    }
}

fn from_structure(structure: &gst::StructureRef) -> Map<String, Value> {
    structure.iter().map(|(name, value)| (name.to_string(), from_value(value))).collect()
}

/// Numbers, texts, truth values, lists and structures as themselves; enums by
/// nick; anything else in GStreamer's notation, so that nothing is lost.
fn from_value(value: &glib::SendValue) -> Value {
    plain(value)
}

fn plain(value: &glib::Value) -> Value {
    macro_rules! number {
        ($($kind:ty),*) => { $(if let Ok(number) = value.get::<$kind>() { return json!(number); })* };
    }
    number!(bool, i32, u32, i64, u64, f32, f64, i8, u8);
    if let Ok(text) = value.get::<Option<String>>() {
        return json!(text);
    }
    if let Ok(texts) = value.get::<Vec<String>>() {
        return json!(texts);
    }
    if let Ok(array) = value.get::<gst::ArrayRef>() {
        return array.as_slice().iter().map(from_value).collect();
    }
    if let Ok(list) = value.get::<gst::ListRef>() {
        return list.as_slice().iter().map(from_value).collect();
    }
    if let Ok(structure) = value.get::<Option<gst::Structure>>() {
        return structure.map_or(Value::Null, |structure| from_structure(&structure).into());
    }
    if let Ok(fraction) = value.get::<gst::Fraction>() {
        return json!(f64::from(fraction.numer()) / f64::from(fraction.denom()));
    }
    if let Some((_, choice)) = glib::EnumValue::from_value(value) {
        return json!(choice.nick());
    }
    value.serialize().map_or(Value::Null, |text| json!(text.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_what_ran_and_says_when_no_network_did() {
        for (element, by, models) in [
            (json!({ "model": "a", "provider": "cpu" }), "with a on cpu", json!(["a"])),
            (json!({ "models": ["a", "b"], "provider": "cpu" }), "with a, b on cpu", json!(["a", "b"])),
            (json!({ "model": "", "provider": "" }), "without an upscaling network", json!([])),
            (json!({}), "without an upscaling network", json!([])),
        ] {
            let Value::Object(element) = element else { unreachable!("all are objects") };
            let summary = Summary { warnings: Vec::new(), frames: 2, seconds: 1.0, element };
            assert_eq!(summary.sentence(), format!("2 frames in 1.0 s (2.00 fps) {by}"));
            assert_eq!(summary.to_json()["models"], models);
        }
    }

    #[test]
    fn every_kind_of_field_survives() {
        gst::init().unwrap();
        let stats = gst::Structure::builder("stats")
            .field("frames", 7u64)
            .field("fps", 2.5f64)
            .field("provider", "cpu")
            .field("exact", true)
            .field("fallbacks", gst::Array::new(["cuda: no device", "b"]))
            .field("names", vec!["x".to_owned(), "y".to_owned()])
            .field("cuts", gst::List::new([3u64, 9]))
            .field("stages_ms", gst::Structure::builder("ms").field("upscale", 1.5f64).build())
            .field("state", gst::State::Playing)
            .build();
        let expected = json!({
            "frames": 7, "fps": 2.5, "provider": "cpu", "exact": true,
            "fallbacks": ["cuda: no device", "b"], "names": ["x", "y"], "cuts": [3, 9],
            "stages_ms": { "upscale": 1.5 }, "state": "playing",
        });
        assert_eq!(Value::Object(from_structure(&stats)), expected);
    }
}
