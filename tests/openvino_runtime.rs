//! A runtime that was built for OpenVINO, which serves processors of every make. `make test` fetches it beside what is in use on this
//! machine.

#![cfg(target_arch = "x86_64")]

use gstfacesr::infer::onnx::{OnnxNetwork, Options};
use gstfacesr::infer::precision::{Precision, Units};
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::infer::runtime::{OpenVino, Runtime};
use gstfacesr::model::contract::Upscaler;

mod provided;

use provided::{check_bf16, enlarge, largest_difference, load};

fn runtime() -> &'static Runtime {
    let runtime = provided::runtime("openvino");
    assert_eq!(runtime.openvino, Ok(OpenVino::BuiltIn));
    runtime
}

#[test]
fn networks_run_where_they_are_asked_to_and_make_one_picture_to_a_level() {
    let made =
        |provider| enlarge(load(runtime(), Choice::Only(provider), Precision::Auto).unwrap(), provider);
    let first = made(Provider::Cpu);
    for _ in 0..2 {
        let difference = largest_difference(&first, &made(Provider::OpenVino));
        assert!(difference <= 1, "{difference}");
        assert_eq!(first, made(Provider::Cpu));
    }
}

#[test]
fn auto_takes_openvino_for_what_the_processors_own_provider_refuses_alone() {
    for (precision, expected) in [(Precision::Auto, Provider::Cpu), (Precision::Bf16, Provider::OpenVino)] {
        match load(runtime(), Choice::Auto, precision) {
            Ok(network) => {
                let provider = network.active().provider;
                assert_eq!(provider, expected, "{:?}", network.active());
                enlarge(network, provider);
            }
            Err(err) => {
                assert!(precision == Precision::Bf16 && !Units::here().bf16, "{err}");
                println!("NOT RUN on this processor: {err}");
            }
        }
    }
}

#[test]
fn bf16_is_computed_where_the_processor_can_and_refused_in_one_line_where_not() {
    match load(runtime(), Choice::Only(Provider::OpenVino), Precision::Bf16) {
        Ok(network) => {
            assert!(Units::here().bf16);
            check_bf16(runtime(), network, Provider::OpenVino);
        }
        Err(err) => {
            let line = err.to_string();
            assert!(!Units::here().bf16 && line.contains("bf16") && line.lines().count() == 1, "{line}");
            println!("NOT RUN on this processor: {line}");
        }
    }
}

#[test]
fn a_device_that_is_not_there_is_refused() {
    let file = Upscaler::read(std::path::Path::new("models/tiny/nearest-x2.onnx")).unwrap();
    for device in [-1, 1] {
        let choice = Choice::Only(Provider::OpenVino);
        let options = Options { choice, device, ..Options::default() };
        let refused = OnnxNetwork::<u8>::load(runtime(), &file, &options).err().expect("it is refused");
        assert!(refused.to_string().contains("device=0"), "{refused}");
    }
}
