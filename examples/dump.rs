use mosaic_lab::lab::run_toml;
use mosaic_lab::lab::worker::prepare::{load_network, network_of};
use mosaic_lab::network::{NetworkDenoiser, Watched};
use mosaic_lab::random::noise_seeds;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;
use std::path::PathBuf;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let run = PathBuf::from(&a[1]);
    let (first, n): (u64, usize) = (a[2].parse().unwrap(), a[3].parse().unwrap());
    let d = run_toml::read(&run.join("run.toml")).unwrap();
    let e = &d.experiment;
    let (config, dataset) = network_of(e).unwrap();
    let (_, net) = load_network(&run, &config, &candle_core::Device::Cpu).unwrap();
    let has = config.attention.is_some();
    let net = NetworkDenoiser::new(std::sync::Arc::new(net)).watching(if has {
        Watched::Maps
    } else {
        Watched::Nothing
    });
    let s = config.image;
    let seeds = noise_seeds(e.noise_seed, first, n, s);
    let mut ddim = e.ddim();
    if let Some(t) = a.get(5) {
        ddim.n_steps = t.parse().unwrap();
    }
    let t = ddim.n_steps;
    let per = n * s.n_values();
    let mut states = vec![0f32; t * per];
    let mut x0 = vec![0f32; t * per];
    let heads = config.attention.map_or(0, |a| a.heads);
    let m = n * heads * s.n_pixels() * s.n_pixels();
    let mut maps = vec![0f32; t * m];
    let out = ddim
        .sample(&net, &seeds, &mut |st| {
            let i = st.index - 1;
            for (o, v) in states[i * per..].iter_mut().zip(st.state.values()) {
                *o = *v as f32;
            }
            for (o, v) in x0[i * per..].iter_mut().zip(st.denoised.x0.values()) {
                *o = *v as f32;
            }
            if let Some(mm) = &st.denoised.attention {
                maps[i * m..(i + 1) * m].copy_from_slice(mm.weights());
            }
            Ok(())
        })
        .unwrap();
    let out: Vec<f32> = out.values().iter().map(|v| *v as f32).collect();
    let train: Vec<f32> =
        dataset.batch(0, dataset.len()).values().iter().map(|v| *v as f32).collect();
    let b = |v: &Vec<f32>| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let (bs, bx, bm, bo, bt) = (b(&states), b(&x0), b(&maps), b(&out), b(&train));
    let dims = vec![t, n, s.channels, s.height, s.width];
    let mut v = HashMap::new();
    let tv = |sh: Vec<usize>, d| TensorView::new(Dtype::F32, sh, d).unwrap();
    v.insert("states", tv(dims.clone(), &bs));
    v.insert("x0", tv(dims.clone(), &bx));
    if heads > 0 {
        v.insert("maps", tv(vec![t, n, heads, s.n_pixels(), s.n_pixels()], &bm));
    }
    v.insert("out", tv(dims[1..].to_vec(), &bo));
    v.insert("train", tv(vec![dataset.len(), s.channels, s.height, s.width], &bt));
    safetensors::serialize_to_file(v, None, std::path::Path::new(&a[4])).unwrap();
}
