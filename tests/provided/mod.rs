//! Networks on a provider that a test asks for, and how far apart pictures are.

use std::path::Path;

use gstfacesr::image::Picture;
use gstfacesr::infer::onnx::{OnnxNetwork, Options};
use gstfacesr::infer::precision::Precision;
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::infer::runtime::{self, Runtime};
use gstfacesr::infer::{InferError, Network};
use gstfacesr::model::contract::Upscaler;
use gstfacesr::model::registry;

/// The runtime in a folder of what `make test-providers` fetches.
pub fn runtime(folder: &str) -> &'static Runtime {
    let cache = registry::cache_dir().expect("there is a home");
    let library = cache.join("providers").join(folder).join("libonnxruntime.so");
    let runtime = runtime::load(Some(&library), None);
    let runtime = runtime.unwrap_or_else(|err| panic!("`make test-providers` fetches it: {err}"));
    runtime.openvino.as_ref().unwrap_or_else(|err| panic!("`make test-providers` fetches it: {err}"));
    runtime
}

pub fn load(
    runtime: &'static Runtime,
    choice: Choice,
    precision: Precision,
) -> Result<OnnxNetwork<u8>, InferError> {
    let file = Upscaler::read(Path::new("models/trained/facesr-live-x2.onnx")).unwrap();
    OnnxNetwork::load(runtime, &file, &Options { choice, precision, ..Options::default() })
}

/// Enlarges waves and edges; every node must run on `provider`.
pub fn enlarge(mut network: OnnxNetwork<u8>, provider: Provider) -> Picture<u8> {
    let active = network.active();
    let only = active.nodes.iter().all(|(name, count)| name == provider.runtime_name() && *count > 0);
    assert!(active.provider == provider && only && !active.nodes.is_empty(), "{active:?}");
    let picture = Picture::from_shape_fn((42, 66, 3), |(y, x, c)| {
        (127.0 + 90.0 * (x as f32 / 5.0 + c as f32).sin() * (y as f32 / 7.0).cos()) as u8
    });
    let mut made = Picture::default((0, 0, 3));
    network.run(picture.view(), &mut |enlarged| made = enlarged.to_owned()).unwrap();
    assert_eq!(made.dim(), (84, 132, 3));
    made
}

pub fn largest_difference(a: &Picture<u8>, b: &Picture<u8>) -> u8 {
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// That bf16 is another picture than fp32, and not much of another one.
pub fn check_bf16(runtime: &'static Runtime, network: OnnxNetwork<u8>, provider: Provider) {
    let exact = load(runtime, Choice::Only(provider), Precision::Fp32).unwrap();
    let (exact, made) = (enlarge(exact, provider), enlarge(network, provider));
    let psnr = psnr(&exact, &made);
    assert!(psnr.is_finite(), "it is the same as fp32");
    assert!(psnr >= 40.0, "another picture: {psnr} dB");
}

fn psnr(a: &Picture<u8>, b: &Picture<u8>) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares.sum::<f64>()).log10()
}
