use std::path::PathBuf;

use super::*;
use crate::infer::libraries::fabricated;

const GPU_PROVIDERS: [Provider; 2] = [Provider::Cuda, Provider::TensorRt];

/// Packages as pip lays them out, with libraries that need what the real ones do.
struct Site {
    folder: tempfile::TempDir,
    runtime: PathBuf,
}

const CUDA_NEEDS: [&str; 5] =
    ["libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10", "libcudart.so.13", "libcuda.so.1"];
const TENSORRT_NEEDS: [&str; 5] =
    ["libcublas.so.13", "libnvinfer.so.10", "libnvonnxparser.so.10", "libcudart.so.13", "libcudnn.so.9"];

/// Each library with its folder.
const LIBRARIES: [(&str, &str); 7] = [
    ("libcudart.so.13", "nvidia/cu13/lib"),
    ("libcublas.so.13", "nvidia/cu13/lib"),
    ("libcublasLt.so.13", "nvidia/cu13/lib"),
    ("libcurand.so.10", "nvidia/cu13/lib"),
    ("libcudnn.so.9", "nvidia/cudnn/lib"),
    ("libnvinfer.so.10", "tensorrt_libs"),
    ("libnvonnxparser.so.10", "tensorrt_libs"),
];

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let capi = folder.path().join("onnxruntime/capi");
        std::fs::create_dir_all(&capi).unwrap();
        let site = Self { runtime: capi.join("libonnxruntime.so.1.31.1"), folder };
        for (name, needs) in [
            ("libonnxruntime.so.1.31.1", &[][..]),
            ("libonnxruntime_providers_shared.so", &["libstdc++.so.6"]),
            ("libonnxruntime_providers_cuda.so", &CUDA_NEEDS),
            ("libonnxruntime_providers_tensorrt.so", &TENSORRT_NEEDS),
        ] {
            std::fs::write(capi.join(name), fabricated(needs)).unwrap();
        }
        for (name, folder) in LIBRARIES {
            let folder = site.folder.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(name), "").unwrap();
        }
        site
    }

    fn remove(&self, name: &str) {
        let capi = ("", "onnxruntime/capi");
        let folder = LIBRARIES.iter().find(|(library, _)| *library == name).unwrap_or(&capi).1;
        std::fs::remove_file(self.folder.path().join(folder).join(name)).unwrap();
    }

    /// The obstacle on a machine whose loader finds `driver` and nothing else by a bare name.
    fn obstacle(&self, provider: Provider, device: i32, of: Machine) -> Option<String> {
        let load = |file: &Path| file.is_file() || of.driver && file == Path::new("libcuda.so.1");
        let line = obstacle(
            provider,
            device,
            &Surroundings {
                runtime: &self.runtime,
                is_built_with: &|_| of.built,
                load: &load,
                gpus: of.gpus,
            },
        );
        if let Some(line) = &line {
            assert_eq!(line.lines().count(), 1, "{line}");
        }
        line
    }
}

#[derive(Clone, Copy)]
struct Machine {
    driver: bool,
    built: bool,
    gpus: Option<usize>,
}

const WHOLE: Machine = Machine { driver: true, built: true, gpus: Some(2) };

#[test]
fn where_everything_is_there_nothing_stands_in_the_way() {
    let site = Site::new();
    for provider in Provider::ALL {
        for device in [0, 1] {
            assert_eq!(site.obstacle(provider, device, WHOLE), None);
        }
        let unknown = Machine { gpus: None, ..WHOLE };
        assert_eq!(site.obstacle(provider, 200, unknown), None, "who does not know leaves it to CUDA");
    }
}

#[test]
fn the_first_thing_that_is_missing_is_named_with_what_gets_it() {
    let site = Site::new();
    for provider in GPU_PROVIDERS {
        let none = Machine { driver: false, built: false, gpus: None };
        for (machine, device, expected) in [
            (none, 0, ["libcuda.so.1", "make cuda"]),
            (Machine { driver: false, ..WHOLE }, 7, ["no NVIDIA driver", "install"]),
            (Machine { gpus: Some(0), ..WHOLE }, 0, ["shows no GPU", "nvidia-smi"]),
            (Machine { gpus: Some(1), ..WHOLE }, 1, ["no GPU 1", "device=0"]),
            (WHOLE, 2, ["no GPU 2", "0 to 1"]),
            (Machine { built: false, ..WHOLE }, 0, ["built without it", "make cuda"]),
        ] {
            let line = site.obstacle(provider, device, machine).unwrap();
            assert!(expected.iter().all(|text| line.contains(text)), "{line}");
        }
    }
    for provider in [Provider::Cpu, Provider::OpenVino] {
        assert_eq!(site.obstacle(provider, 9, Machine { driver: false, built: false, gpus: None }), None);
    }
}

#[test]
fn each_file_that_is_missing_is_named_and_no_other() {
    for (provider, needs) in [(Provider::Cuda, &CUDA_NEEDS), (Provider::TensorRt, &TENSORRT_NEEDS)] {
        let own = format!("libonnxruntime_providers_{}.so", provider.name());
        let needs = needs.iter().filter(|name| **name != "libcuda.so.1").copied();
        let needs: Vec<&str> = needs.chain(["libcudnn.so.9", "libonnxruntime_providers_shared.so"]).collect();
        for name in needs.iter().copied().chain([own.as_str()]) {
            let site = Site::new();
            site.remove(name);
            let line = site.obstacle(provider, 0, WHOLE).unwrap_or_else(|| panic!("{name} is not missed"));
            assert!(line.contains(name), "{line}");
            let others = LIBRARIES.iter().filter(|(other, _)| *other != name);
            assert!(others.into_iter().all(|(other, _)| !line.contains(other)), "{line}");
            let way = if name.starts_with("libnv") { "install TensorRT" } else { "make cuda" };
            assert!(line.contains(way), "{line}");
        }
    }
    let site = Site::new();
    std::fs::remove_dir_all(site.folder.path().join("nvidia")).unwrap();
    let line = site.obstacle(Provider::Cuda, 0, WHOLE).unwrap();
    assert!(LIBRARIES.iter().take(5).all(|(name, _)| line.contains(name)), "{line}");
}

#[test]
fn gpus_are_those_that_are_listed_and_may_be_seen() {
    for (variable, listed, expected) in [
        (None, None, None),
        (None, Some(4), Some(4)),
        (Some("0"), None, Some(1)),
        (Some("2, 3"), Some(4), Some(2)),
        (Some("GPU-1b2c"), Some(4), Some(1)),
        (Some(""), Some(4), Some(0)),
        (Some("-1"), Some(4), Some(0)),
        // What comes after one that is none does not count, as CUDA has it.
        (Some("0,-1,1"), Some(4), Some(1)),
        (Some("0,1,2"), Some(2), Some(2)),
    ] {
        assert_eq!(visible(variable, listed), expected, "{variable:?} of {listed:?}");
    }
}

#[test]
fn the_runtimes_words_lose_their_source_files_and_what_is_known_is_said_plainly() {
    let wrapped = |text: &str| format!("/src/core/bridge.cc:2043 f() [ONNXRuntimeError] : 1 : FAIL : {text}");
    for (said, expected) in [
        (wrapped("CUDA failure 101: invalid device ordinal ; GPU=7"), "no GPU 7"),
        (wrapped("CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version"), "580"),
        (wrapped("CUDA failure 100: no CUDA-capable device is detected"), "nvidia-smi"),
        (wrapped("CUDA failure 209: no kernel image is available for execution"), "FACESR_ONNXRUNTIME"),
        (wrapped("CUDA failure 2: out of memory"), "memory-limit"),
        (
            "Non-zero status code returned while running Conv node. Status Message: /src/bfc_arena.cc:376 void* f(size_t) Failed to allocate memory for requested buffer of size 28".into(),
            "memory-limit",
        ),
        (
            "Non-zero status code returned while running Conv node. Status Message: /src/cudnn_fe_call.cc:117 g() CUDNN_FE failure 8: CUDNN_BACKEND_API_FAILED ; GPU=0 ; hostname=h ; file=/src/conv.cc ; line=8 ; expr=f();".into(),
            "CUDNN_FE failure 8: CUDNN_BACKEND_API_FAILED, see `nvidia-smi`",
        ),
        (
            "Non-zero status code returned while running Add node. Name:'f/8' Status Message: CUDA error cudaErrorLaunchFailure:unspecified launch failure".into(),
            "CUDA error cudaErrorLaunchFailure:unspecified launch failure, see `nvidia-smi`",
        ),
        (
            "model facesr-blend-kernels failed on a picture of 8x8: the NVIDIA driver says: bad handle, see `nvidia-smi`".into(),
            "the NVIDIA driver says: bad handle, see `nvidia-smi`",
        ),
        (wrapped("something new"), "something new"),
        ("something plain".into(), "something plain"),
    ] {
        let line = reworded(7, &said);
        assert!(line.contains(expected), "{line}");
        assert!(!line.contains(".cc") && !line.contains(" FAIL ") && !line.contains("hostname"), "{line}");
        // Who says it again, or within words of their own, adds nothing.
        assert_eq!(reworded(7, &line), line);
        // What is not said on a GPU stays as it is.
        assert_eq!(of_run(Provider::Cpu, 7, said.clone()), said);
        assert_eq!(of_run(Provider::Cuda, 7, said), line);
    }
}
