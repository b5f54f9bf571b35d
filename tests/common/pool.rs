//! A pool of a downstream element with rows of its own length, poisoned between the rows.

use std::sync::Mutex;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_video::{VideoInfo, VideoMeta};
use gstreamer as gst;
use gstreamer_video as gst_video;

/// What stands wherever there is no sample.
pub const POISON: u8 = 0x5a;

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct PoisonPool(pub Mutex<Option<VideoInfo>>);

    #[glib::object_subclass]
    impl ObjectSubclass for PoisonPool {
        const NAME: &'static str = "FaceSrTestPoisonPool";
        type Type = super::PoisonPool;
        type ParentType = gst::BufferPool;
    }

    impl ObjectImpl for PoisonPool {}
    impl GstObjectImpl for PoisonPool {}
    impl BufferPoolImpl for PoisonPool {
        fn options() -> &'static [&'static str] {
            &["GstBufferPoolOptionVideoMeta"]
        }

        fn alloc_buffer(
            &self,
            _: Option<&gst::BufferPoolAcquireParams>,
        ) -> Result<gst::Buffer, gst::FlowError> {
            let info = self.0.lock().unwrap().clone().unwrap();
            Ok(padded(&info, POISON, |_, _, _| 0))
        }
    }
}

glib::wrapper! {
    pub struct PoisonPool(ObjectSubclass<imp::PoisonPool>) @extends gst::BufferPool, gst::Object;
}

impl PoisonPool {
    pub fn new(info: &VideoInfo) -> Self {
        let pool: Self = glib::Object::new();
        *pool.imp().0.lock().unwrap() = Some(info.clone());
        pool
    }
}

/// A frame with rows longer than they need to be and planes that start late, both at no
/// multiple of eight bytes (GStreamer itself needs four).
pub fn padded(info: &VideoInfo, poison: u8, sample: impl Fn(usize, usize, usize) -> u32) -> gst::Buffer {
    let (mut offsets, mut strides, mut end) = (Vec::new(), Vec::new(), 68);
    let rows = super::components(info);
    for plane in 0..info.n_planes() {
        let stride = info.stride()[plane as usize] as usize + 20;
        let height = rows.iter().filter(|c| c.plane == plane).map(|c| c.height).max().unwrap();
        offsets.push(end);
        strides.push(stride as i32);
        end += stride * height + 12;
    }
    let mut buffer = gst::Buffer::with_size(end).unwrap();
    let writable = buffer.get_mut().unwrap();
    VideoMeta::add_full(
        writable,
        gst_video::VideoFrameFlags::empty(),
        info.format(),
        info.width(),
        info.height(),
        &offsets,
        &strides,
    )
    .unwrap();
    super::fill(info, writable, poison, sample);
    buffer
}

/// Answers the allocation queries that leave a pad with the pool.
pub fn propose(pad: &gst::Pad, pool: &PoisonPool, size: usize) {
    let pool = pool.clone();
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
        let Some(gst::PadProbeData::Query(query)) = &mut info.data else { return gst::PadProbeReturn::Ok };
        let gst::QueryViewMut::Allocation(allocation) = query.view_mut() else {
            return gst::PadProbeReturn::Ok;
        };
        allocation.add_allocation_pool(Some(&pool), size as u32, 2, 0);
        allocation.add_allocation_meta::<VideoMeta>(None);
        gst::PadProbeReturn::Handled
    });
}
