//! `facesr measure`: how good an enhanced clip is, in numbers.

pub mod cuts;
mod faces;
pub mod measuring;
mod motion;
pub mod numbers;
mod table;

use std::io::Write;
use std::path::PathBuf;

use gstfacesr::metrics::{METRICS, Metric};

use crate::enhance::output::{Output, same_file};
use crate::failure::Failure;
use crate::report::{Gallery, Report, Side};
use cuts::{Cuts, Said};
use measuring::{Contender, Materials};

/// What `facesr measure` is told.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Ground truth: what the clip would ideally be
    #[arg(long, value_name = "REF")]
    reference: PathBuf,
    /// Clip to measure, of the same size and number of frames
    #[arg(long, value_name = "OUT")]
    test: PathBuf,
    /// The same network's result frame by frame: is measured as well, and allows `ghost` and
    /// `sharpness-per-frame`
    #[arg(long, value_name = "PERFRAME")]
    baseline: Option<PathBuf>,
    /// First frames of new scenes, counted from 0, or `none`: metrics over time do not look back across
    /// them [default: those found in the ground truth]
    #[arg(long, value_name = "LIST")]
    cuts: Option<Said>,
    /// Only these metrics [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = metric)]
    metrics: Vec<&'static Metric>,
    /// File of a face embedding network, for `identity`
    #[arg(long, value_name = "FILE")]
    embedding: Option<PathBuf>,
    /// One JSON object on standard output, with the figures of every frame
    #[arg(long)]
    json: bool,
    /// Write one page with plots and the worst frames
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Replace the report if it exists
    #[arg(long, short = 'f')]
    overwrite: bool,
}

/// Does all of it.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let output = report_file(arguments)?;
    let mut cuts = Cuts::new(arguments.cuts.as_ref());
    let mut contenders = vec![Contender::new("result", &arguments.test)];
    if let Some(path) = &arguments.baseline {
        contenders[0].baseline = Some(1);
        contenders.push(Contender::new("per frame", path));
    }
    let metrics = match arguments.metrics.as_slice() {
        [] => METRICS.iter().collect(),
        some => some.to_vec(),
    };
    let embedding = arguments.embedding.as_deref();
    let materials =
        Materials { reference: &arguments.reference, contenders: &contenders, metrics, embedding };
    let results = measuring::measure(&materials, &mut cuts)?;
    if let Some(mut output) = output {
        let mut sides = vec![Side::new("reference", &arguments.reference)];
        sides.extend(contenders.iter().rev().map(|contender| Side::new(contender.label, contender.path)));
        let title = format!("{} against {}", sides[sides.len() - 1].name(), sides[0].name());
        let left = sides.len() - 2;
        let gallery = Gallery { sides, shown: None, left, fitted: 0 };
        let html = Report { title, gallery, results: Some(&results), cuts: &cuts }.html(results.frames)?;
        let wrote = output.write_all(html.as_bytes());
        wrote.map_err(|err| Failure::Failed(format!("the report cannot be written: {err}")))?;
        output.finish()?;
    }
    match arguments.json {
        true => say!("{}", numbers::object(&materials, &cuts, &results)),
        false => say!("{}", table::text(&materials, &cuts, &results).trim_end()),
    }
    Ok(())
}

/// The hidden file that becomes the report.
fn report_file(arguments: &Arguments) -> Result<Option<Output>, Failure> {
    let Some(path) = &arguments.report else { return Ok(None) };
    let inputs = [Some(&arguments.reference), Some(&arguments.test), arguments.baseline.as_ref()];
    if let Some(input) = inputs.into_iter().flatten().find(|input| same_file(input, path)) {
        return Err(Failure::Usage(format!(
            "{}: would be overwritten; name another file for --report",
            input.display()
        )));
    }
    Output::create(path, arguments.overwrite).map(Some)
}

fn metric(name: &str) -> Result<&'static Metric, String> {
    gstfacesr::metrics::metric(name).ok_or_else(|| {
        let names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        format!("must be among {}", names.join(", "))
    })
}
