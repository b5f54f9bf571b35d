//! The OpenVINO plugin in the process, and networks that still run where they are asked to. `make test` fetches the plugin,
//! beside a runtime of its own, so that what is in use on this machine stays as it is.

#![cfg(target_arch = "x86_64")]

use std::path::Path;

use gstfacesr::image::Picture;
use gstfacesr::infer::onnx::{OnnxNetwork, Options};
use gstfacesr::infer::precision::{Precision, Units};
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::infer::runtime::{self, Runtime};
use gstfacesr::infer::{InferError, Network};
use gstfacesr::model::contract::Upscaler;
use gstfacesr::model::registry;

fn runtime() -> &'static Runtime {
    let cache = registry::cache_dir().expect("there is a home");
    let library = cache.join("providers/runtime/libonnxruntime.so");
    let runtime = runtime::load(Some(&library), None);
    let runtime = runtime.unwrap_or_else(|err| panic!("`make test-providers` fetches it: {err}"));
    runtime.openvino.as_ref().unwrap_or_else(|err| panic!("`make test-providers` fetches it: {err}"));
    runtime
}

/// The plugin offers its device on processors of this make alone.
fn is_intel() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").unwrap().contains("GenuineIntel")
}

fn load(choice: Choice, precision: Precision) -> Result<OnnxNetwork<u8>, InferError> {
    let file = Upscaler::read(Path::new("models/trained/facesr-live-x2.onnx")).unwrap();
    OnnxNetwork::load(runtime(), &file, &Options { choice, precision, ..Options::default() })
}

/// Enlarges waves and edges; every node must run on `provider`.
fn enlarge(mut network: OnnxNetwork<u8>, provider: Provider) -> Picture<u8> {
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

fn largest_difference(a: &Picture<u8>, b: &Picture<u8>) -> u8 {
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

fn psnr(a: &Picture<u8>, b: &Picture<u8>) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares.sum::<f64>()).log10()
}

#[test]
fn with_the_plugin_registered_every_network_runs_where_it_is_asked_to() {
    let first = enlarge(load(Choice::Only(Provider::Cpu), Precision::Auto).unwrap(), Provider::Cpu);
    for _ in 0..2 {
        match load(Choice::Only(Provider::OpenVino), Precision::Auto) {
            Ok(network) => {
                assert!(is_intel());
                let made = enlarge(network, Provider::OpenVino);
                assert!(largest_difference(&first, &made) <= 1, "{}", largest_difference(&first, &made));
            }
            Err(err) => {
                assert!(!is_intel() && err.to_string().contains("only on those of Intel"), "{err}");
                println!("NOT RUN on this processor: {err}");
            }
        }
        let again = enlarge(load(Choice::Only(Provider::Cpu), Precision::Auto).unwrap(), Provider::Cpu);
        assert_eq!(first, again);
    }
}

#[test]
fn auto_takes_the_plugin_where_it_offers_a_device_and_says_why_where_not() {
    let network = load(Choice::Auto, Precision::Auto).unwrap();
    let active = network.active().clone();
    if active.provider == Provider::Cuda {
        return;
    }
    assert_eq!(active.provider == Provider::OpenVino, is_intel(), "{active:?}");
    assert_eq!(active.why_not_others().contains("openvino: "), !is_intel(), "{active:?}");
    enlarge(network, active.provider);
}

#[test]
fn bf16_is_what_is_asked_for_or_refused() {
    for provider in [Provider::Cpu, Provider::OpenVino] {
        let made = load(Choice::Only(provider), Precision::Bf16);
        let can = provider == Provider::OpenVino && Units::here().bf16;
        match made {
            Ok(network) => {
                assert!(can, "{provider:?}");
                let exact = enlarge(load(Choice::Only(provider), Precision::Fp32).unwrap(), provider);
                let made = enlarge(network, provider);
                let psnr = psnr(&exact, &made);
                assert!(psnr.is_finite(), "it is the same as fp32");
                assert!(psnr >= 40.0, "another picture: {psnr} dB");
            }
            Err(err) => {
                let line = err.to_string();
                assert!(line.contains(provider.name()) && line.lines().count() == 1, "{line}");
                assert!(!can && line.contains("bf16") || !is_intel(), "{line}");
                println!("{line}");
            }
        }
    }
}
