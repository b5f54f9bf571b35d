//! The OpenVINO plugin in the process, and networks that still run where they are asked to. `make test` fetches the plugin,
//! beside a runtime of its own, so that what is in use on this machine stays as it is.

#![cfg(target_arch = "x86_64")]

use gstfacesr::infer::precision::{Precision, Units};
use gstfacesr::infer::provider::{Choice, Provider};
use gstfacesr::infer::runtime::{OpenVino, Runtime};

mod provided;

use provided::{check_bf16, enlarge, largest_difference, load};

fn runtime() -> &'static Runtime {
    let runtime = provided::runtime("runtime");
    assert!(matches!(runtime.openvino, Ok(OpenVino::Plugin(_))), "{:?}", runtime.openvino);
    runtime
}

/// The plugin offers its device on processors of this make alone.
fn is_intel() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").unwrap().contains("GenuineIntel")
}

#[test]
fn with_the_plugin_registered_every_network_runs_where_it_is_asked_to() {
    let cpu = || load(runtime(), Choice::Only(Provider::Cpu), Precision::Auto).unwrap();
    let first = enlarge(cpu(), Provider::Cpu);
    for _ in 0..2 {
        match load(runtime(), Choice::Only(Provider::OpenVino), Precision::Auto) {
            Ok(network) => {
                assert!(is_intel());
                let made = enlarge(network, Provider::OpenVino);
                assert!(largest_difference(&first, &made) <= 1, "{}", largest_difference(&first, &made));
            }
            Err(err) => {
                let line = err.to_string();
                assert!(!is_intel() && line.contains("only on those of Intel"), "{line}");
                assert!(line.contains("make openvino") && line.lines().count() == 1, "{line}");
                println!("NOT RUN on this processor: {line}");
            }
        }
        assert_eq!(first, enlarge(cpu(), Provider::Cpu));
    }
}

#[test]
fn auto_takes_the_plugin_for_what_the_processors_own_provider_refuses_and_says_why_where_it_cannot() {
    let network = load(runtime(), Choice::Auto, Precision::Auto).unwrap();
    let active = network.active().clone();
    if active.provider == Provider::Cuda {
        return;
    }
    assert_eq!(active.provider, Provider::Cpu, "{active:?}");
    enlarge(network, active.provider);
    match load(runtime(), Choice::Auto, Precision::Bf16) {
        Ok(network) => {
            assert!(is_intel() && Units::here().bf16);
            let active = network.active().clone();
            assert_eq!(active.provider, Provider::OpenVino, "{active:?}");
            assert!(active.why_not_others().contains("cpu: "), "{active:?}");
        }
        Err(err) => {
            let line = err.to_string();
            assert!(!is_intel() || !Units::here().bf16, "{line}");
            assert!(
                line.contains("cpu: ") && line.contains("openvino: ") && line.lines().count() == 1,
                "{line}"
            );
        }
    }
}

#[test]
fn bf16_is_what_is_asked_for_or_refused() {
    for provider in [Provider::Cpu, Provider::OpenVino] {
        let can = provider == Provider::OpenVino && Units::here().bf16;
        match load(runtime(), Choice::Only(provider), Precision::Bf16) {
            Ok(network) => {
                assert!(can, "{provider:?}");
                check_bf16(runtime(), network, provider);
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
