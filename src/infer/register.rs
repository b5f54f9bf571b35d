//! Naming an execution provider to a session, with its settings.

use ort::ep::{
    ArbitrarilyConfigurableExecutionProvider, ArenaExtendStrategy, CPU, CUDA, ExecutionProvider,
    ExecutionProviderDispatch, OpenVINO, TensorRT,
};
use ort::session::builder::SessionBuilder;

use super::accelerator::{self, Surroundings};
use super::engines::{self, Engine};
use super::fp16;
use super::onnx::Options;
use super::precision::{Precision, Units};
use super::provider::Provider;
use super::runtime::{OpenVino, Runtime};
use super::session::one_line;

/// Names the provider to the session, strictly: one that cannot start is an error. Without a
/// name the runtime would choose devices by a policy of its own.
pub(super) fn register(
    runtime: &Runtime,
    builder: SessionBuilder,
    model: &[u8],
    provider: Provider,
    options: &Options,
) -> Result<SessionBuilder, String> {
    let surroundings = Surroundings {
        runtime: &runtime.path,
        is_built_with: &is_built_with,
        load: &|library| ort::util::preload_dylib(library).is_ok(),
        gpus: accelerator::gpus(),
    };
    let obstacle = accelerator::obstacle(provider, options.device, &surroundings);
    if let Some(reason) = obstacle.or_else(|| options.precision.refused_by(provider, Units::here())) {
        return Err(reason);
    }
    let strictly = |dispatch: ExecutionProviderDispatch| [dispatch.error_on_failure()];
    let registered = match provider {
        Provider::Cpu => {
            let cpu = CPU::default().with_arena_allocator(true).build();
            let builder = builder.with_execution_providers(strictly(cpu));
            let builder = builder.map_err(|err| said(provider, options, &err))?;
            // The binding names nothing for the processor, and a policy of the runtime would choose a plugin.
            let environment = runtime.environment();
            let is_own = |device: &ort::device::Device<'_>| {
                device.ep().is_ok_and(|name| name == provider.runtime_name())
            };
            match environment.devices().find(is_own) {
                Some(device) => builder.with_devices([device], None),
                None => Ok(builder),
            }
        }
        Provider::Cuda => {
            // Its default is to round products of 32-bit floats to 10 bits where the GPU can. Forbidden, it keeps convolutions of
            // 16-bit floats from tensor cores, too, where they lose nothing and are several times as fast.
            let cuda =
                CUDA::default().with_device_id(options.device).with_tf32(fp16::multiplies_halves(model));
            // Frames have one size. By its default each extension is twice the one before, whatever is needed.
            let cuda = cuda.with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested);
            let cuda = cuda
                .with_prefer_nhwc(options.trials.channels_last)
                .with_fuse_conv_bias(options.trials.fused_bias);
            builder.with_execution_providers(strictly(cuda.build()))
        }
        Provider::TensorRt => {
            let mut tensorrt = TensorRT::default()
                .with_device_id(options.device)
                .with_fp16(options.precision == Precision::Fp16);
            if let Some(cache) = &options.cache_dir {
                let (shapes, gpus) = (engines::shapes(model), engines::gpus());
                let engine = Engine {
                    model,
                    shapes: &shapes,
                    device: options.device,
                    gpus: &gpus,
                    runtime: runtime.build(),
                    precision: options.precision.name(),
                };
                let folder = engine.folder(cache)?.to_string_lossy().into_owned();
                tensorrt = tensorrt
                    .with_engine_cache(true)
                    .with_engine_cache_path(&folder)
                    .with_timing_cache(true)
                    .with_timing_cache_path(&folder);
            }
            builder.with_execution_providers(strictly(tensorrt.build()))
        }
        Provider::OpenVino => {
            let config = openvino_config(options);
            match runtime.openvino.as_ref().map_err(String::clone)? {
                OpenVino::BuiltIn => {
                    openvino_device(options.device, 1)?;
                    let openvino = OpenVINO::default().with_device_type("CPU");
                    let openvino = openvino.with_arbitrary_config("load_config", config);
                    builder.with_execution_providers(strictly(openvino.build()))
                }
                OpenVino::Plugin(_) => {
                    let environment = runtime.environment();
                    let is_ours = |device: &ort::device::Device<'_>| {
                        device.ep().is_ok_and(|name| name == provider.runtime_name())
                            && device.hardware_device().ty() == ort::memory::DeviceType::CPU
                    };
                    let mut devices: Vec<_> = environment.devices().filter(is_ours).collect();
                    let number = openvino_device(options.device, devices.len())?;
                    let config = [("OpenVINOExecutionProvider.load_config".to_string(), config)];
                    builder.with_devices([devices.swap_remove(number)], Some(&config))
                }
            }
        }
    };
    registered.map_err(|err| said(provider, options, &err))
}

/// Whether the runtime was built with a provider, which does not mean that it can start.
pub(super) fn is_built_with(provider: Provider) -> bool {
    match provider {
        Provider::Cpu => true,
        Provider::Cuda => CUDA::is_available().unwrap_or(false),
        Provider::TensorRt => TensorRT::is_available().unwrap_or(false),
        Provider::OpenVino => OpenVINO::is_available().unwrap_or(false),
    }
}

/// Which of the processors that OpenVINO offers is meant.
fn openvino_device(device: i32, count: usize) -> Result<usize, String> {
    match usize::try_from(device) {
        _ if count == 0 => Err(
            "its plugin offers nothing on this processor, only on those of Intel: run `make openvino` in the source tree for the one that does, or set execution-provider=cpu"
                .into(),
        ),
        Ok(device) if device < count => Ok(device),
        _ => Err(format!("it has no device {device}, only the processor: set device=0")),
    }
}

/// Why a provider did not start, in one line.
pub(super) fn said(provider: Provider, options: &Options, error: &ort::Error<impl Sized>) -> String {
    let line = one_line(error);
    match provider {
        Provider::Cuda | Provider::TensorRt => accelerator::reworded(options.device, &line),
        Provider::Cpu | Provider::OpenVino => line,
    }
}

/// Device settings of OpenVINO, as the JSON that its provider takes.
fn openvino_config(options: &Options) -> String {
    // Without a hint it takes bfloat16 where the processor has that.
    let precision = if options.precision == Precision::Bf16 { "bf16" } else { "f32" };
    let threads = match options.threads {
        0 => String::new(),
        // The session's own number is for ONNX Runtime's kernels.
        threads => format!(r#", "INFERENCE_NUM_THREADS": "{threads}""#),
    };
    format!(r#"{{"CPU": {{"INFERENCE_PRECISION_HINT": "{precision}"{threads}}}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openvino_is_told_its_precision_and_its_threads_in_json() {
        for (precision, hint) in [
            (Precision::Auto, "f32"),
            (Precision::Fp32, "f32"),
            (Precision::Fp16, "f32"),
            (Precision::Bf16, "bf16"),
        ] {
            for (threads, expected) in [(0, None), (1, Some("1")), (24, Some("24"))] {
                let config = openvino_config(&Options { precision, threads, ..Options::default() });
                let json: serde_json::Value = serde_json::from_str(&config).unwrap();
                let cpu = &json["CPU"];
                assert_eq!(cpu["INFERENCE_PRECISION_HINT"], hint, "{config}");
                assert_eq!(cpu["INFERENCE_NUM_THREADS"].as_str(), expected, "{config}");
            }
        }
    }

    #[test]
    fn a_processor_that_openvino_does_not_offer_is_told_apart_from_one_that_is_not_there() {
        for (device, count, expected) in [
            (0, 1, Ok(0)),
            (1, 2, Ok(1)),
            (0, 0, Err("Intel")),
            (3, 0, Err("Intel")),
            (1, 1, Err("device=0")),
            (-1, 1, Err("device=0")),
        ] {
            let found = openvino_device(device, count);
            assert_eq!(found.as_ref().ok(), expected.as_ref().ok(), "{device} of {count}");
            if let (Err(line), Err(expected)) = (&found, expected) {
                assert!(line.contains(expected) && line.lines().count() == 1, "{line}");
            }
        }
    }
}
