//! How much memory there is on GPUs, as NVIDIA's driver says.

use nvml_wrapper::Nvml;

/// The driver's library that tells about GPUs. Containers without the capability `utility` lack it.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// Bytes of the GPU that has the least, of those that the driver shows; `None` where they are not known.
pub fn least() -> Option<u64> {
    let driver = Nvml::builder().lib_path(LIBRARY.as_ref()).init().ok()?;
    let memory = |index| Some(driver.device_by_index(index).ok()?.memory_info().ok()?.total);
    (0..driver.device_count().ok()?).map(memory).min().flatten()
}
