use mosaic_lab::analysis::agreement::agreement;
use mosaic_lab::analysis::consistency::Judge;
use mosaic_lab::analysis::summary::quartiles;
use mosaic_lab::diffusion::{AttentionMaps, Ddim, Schedule};
use mosaic_lab::image::{ImageBatch, ImageShape};
use mosaic_lab::lab::run_toml;
use mosaic_lab::lab::worker::prepare::network_of;
use mosaic_lab::theory::spec::*;
use mosaic_lab::theory::*;
use std::sync::Arc;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let d = run_toml::read(&std::path::Path::new(&a[1]).join("run.toml")).unwrap();
    let (_, dataset) = network_of(&d.experiment).unwrap();
    let judge = Judge::new(&dataset);
    let bytes = std::fs::read(&a[2]).unwrap();
    let st = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let get = |n: &str| -> Option<(Vec<usize>, Vec<f32>)> {
        st.tensor(n).ok().map(|t| {
            (
                t.shape().to_vec(),
                t.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
            )
        })
    };
    let (dims, states) = get("states").unwrap();
    let (t, n) = (dims[0], a[3].parse::<usize>().unwrap().min(dims[1]));
    let shape = ImageShape::new(dims[2], dims[3], dims[4]);
    let v = shape.n_values();
    let f = |x: &[f32]| x.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let seeds = ImageBatch::new(shape, f(&states[(t - 1) * dims[1] * v..][..n * v]));
    let out = ImageBatch::new(shape, f(&get("out").unwrap().1[..n * v]));
    let images = Arc::new(TrainingImages::from_dataset(&dataset).unwrap());
    let ddim = Ddim::new(Schedule::Cosine, t);
    let maps = get("maps").map(|(md, m)| {
        let per = md[2] * md[3] * md[4];
        let mut rec = RecordedAttention::new();
        for i in 0..t {
            rec.push(
                ddim.level(i + 1),
                AttentionMaps::new(md[2], md[3], m[i * md[1] * per..][..n * per].to_vec()),
            );
        }
        rec
    });
    let say = |name: &str, b: &ImageBatch, base: Option<&Vec<f64>>| -> Vec<f64> {
        let ag: Vec<_> = b.iter().zip(out.iter()).map(|(p, q)| agreement(p, q)).collect();
        let r: Vec<f64> = ag.iter().map(|a| a.r.unwrap_or(0.0)).collect();
        let c: Vec<f64> = ag.iter().map(|a| a.cod.unwrap_or(0.0)).collect();
        let rates = judge.as_ref().map(|j| j.rates(b));
        let wins =
            base.map_or(0.0, |b| r.iter().zip(b).filter(|(a, b)| a > b).count() as f64 / n as f64);
        println!(
            "{name}: r {:.3} mean {:.3} R2 {:.3} wins {wins:.2} consistent {:.2} purity {:.2} whole {:.2}",
            quartiles(&r).unwrap().median,
            r.iter().sum::<f64>() / n as f64,
            quartiles(&c).unwrap().median,
            rates.as_ref().map_or(0., |r| r.consistent.interval.estimate),
            rates.as_ref().and_then(|r| r.hue_purity.map(|h| h.estimate)).unwrap_or(0.),
            rates.as_ref().map_or(0., |r| r.valid_components.interval.estimate)
        );
        r
    };
    say("network", &out, None);
    let mut base = None;
    for line in std::io::stdin().lines() {
        let c: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let list = |k: &str| -> Vec<f64> {
            match &c[k] {
                serde_json::Value::Array(a) => a.iter().map(|v| v.as_f64().unwrap()).collect(),
                serde_json::Value::Null => vec![1.0; t],
                v => vec![v.as_f64().unwrap(); t],
            }
        };
        let k = Scheduled::PerStep(list("k").iter().map(|k| *k as usize).collect());
        let src = c["source"].as_str().unwrap();
        let kind = if src == "els" {
            MachineKind::EquivariantLocal
        } else {
            let (l, g, tau) = (list("lambda"), list("gamma"), list("tau"));
            MachineKind::Attention {
                pool: mosaic_lab::theory::patches::Pool::Wrap,
                settings: Scheduled::PerStep(
                    (0..t)
                        .map(|i| AttentionSettings {
                            lambda: l[i],
                            gamma: g[i],
                            source: match AttentionSource::parse(c["sources"].get(i).and_then(|v| v.as_str()).unwrap_or(src)).unwrap() {
                                AttentionSource::Similarity { .. } => {
                                    AttentionSource::Similarity { tau: tau[i] }
                                }
                                s => s,
                            },
                        })
                        .collect(),
                ),
            }
        };
        let provider = maps.clone().map(|m| Arc::new(m) as Arc<dyn AttentionProvider>);
        let m = Machine::new(MachineSpec { kind, k }, images.clone(), Precision::F32, provider)
            .unwrap();
        let b = ddim.sample(&m, &seeds, &mut |_| Ok(())).unwrap();
        let r = say(c["name"].as_str().unwrap(), &b, base.as_ref());
        if base.is_none() {
            base = Some(r);
        }
    }
}
