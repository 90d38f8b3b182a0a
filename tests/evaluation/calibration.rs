//! `mosaic calibrate` against an exhaustive search with whole machines, one setting after the other.

use std::sync::Arc;

use mosaic_lab::diffusion::{AttentionMaps, Denoiser};
use mosaic_lab::evaluation::network_and_machines_of_run::Trained;
use mosaic_lab::image::ImageBatch;
use mosaic_lab::network::AttentionDetail;
use mosaic_lab::random::noise_seeds;
use mosaic_lab::theory::machine_spec::{
    AttentionSettings, AttentionSource, MachineKind, MachineSpec, PatchSize, Scheduled,
};
use mosaic_lab::theory::patch_pools_ls_els_bbels::Pool;
use mosaic_lab::theory::{
    AttentionProvider, Machine, Precision, RecordedAttention, TrainingImages,
};
use serde_json::Value;

use crate::common::Lab;
use crate::plain::{self, Trajectory, mean, pearson, quantile, squared_error};
use crate::{check_close, open, printed, train};

const N_SEEDS: usize = 3;
const T: usize = 4;
const SIDES: [usize; 3] = [3, 5, 7];
const LAMBDAS: [f64; 2] = [0.5, 2.0];
const GAMMAS: [f64; 2] = [0.1, 0.4];
const TAUS: [f64; 2] = [0.3, 1.0];
/// Machines compute in single precision.
const TOLERANCE: f64 = 5e-5;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Setting {
    k: usize,
    lambda: f64,
    gamma: f64,
    tau: f64,
}

/// The network's trajectories, and one machine that is searched.
struct Search<'a> {
    noise: &'a [ImageBatch],
    ways: &'a [Trajectory],
    images: Arc<TrainingImages>,
    source: Option<AttentionSource>,
}

impl Search<'_> {
    fn machine(&self, setting: Setting, maps: Option<&AttentionMaps>, step: usize) -> Machine {
        let Setting { k, lambda, gamma, tau } = setting;
        let kind = match self.source {
            None => MachineKind::EquivariantLocal,
            Some(source) => {
                let source = match source {
                    AttentionSource::Similarity { .. } => AttentionSource::Similarity { tau },
                    other => other,
                };
                let settings = Scheduled::Fixed(AttentionSettings { lambda, gamma, source });
                MachineKind::Attention { pool: Pool::Wrap, settings }
            }
        };
        let provider = maps.map(|maps| {
            let mut recorded = RecordedAttention::new();
            recorded.push(plain::level(step as f64 / T as f64), maps.clone());
            Arc::new(recorded) as Arc<dyn AttentionProvider>
        });
        let spec = MachineSpec::new(kind, PatchSize::Fixed(k));
        Machine::new(spec, self.images.clone(), Precision::F32, provider).unwrap()
    }

    /// x0hat of one state at step `step` (from 1) of seed `seed`.
    fn estimate(&self, setting: Setting, seed: usize, step: usize, x: &ImageBatch) -> Vec<f64> {
        let maps = self.ways[seed].maps[step - 1].as_ref();
        let maps = maps.filter(|_| self.source == Some(AttentionSource::Trajectory));
        let level = plain::level(step as f64 / T as f64);
        self.machine(setting, maps, step).denoise(x, level).unwrap().x0.into_values()
    }

    fn cosine(&self, seed: usize, step: usize, x: &ImageBatch, x0: &[f64]) -> f64 {
        let signal = plain::level(step as f64 / T as f64).abar.sqrt();
        let noise = |x0: &[f64]| -> Vec<f64> {
            x.values().iter().zip(x0).map(|(x, x0)| x - signal * x0).collect()
        };
        let (a, b) = (noise(x0), noise(&self.ways[seed].x0[step - 1]));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
    }

    /// What a fit makes small at one step, over the states of all seeds: the same for every machine.
    fn cost(&self, setting: Setting, step: usize, states: &[ImageBatch]) -> f64 {
        let each: Vec<f64> = (0..N_SEEDS)
            .map(|seed| {
                let x0 = self.estimate(setting, seed, step, &states[seed]);
                squared_error(&x0, &self.ways[seed].x0[step - 1])
            })
            .collect();
        mean(&each)
    }

    /// A fitted setting is the best of the whole grid.
    fn check_best(&self, found: Setting, grid: &[Setting], step: usize, states: &[ImageBatch]) {
        let costs = grid.iter().map(|setting| self.cost(*setting, step, states));
        let least = costs.fold(f64::INFINITY, f64::min);
        let cost = self.cost(found, step, states);
        assert!(grid.contains(&found), "{found:?}");
        assert!(cost <= least + 1e-6 * (1.0 + least.abs()), "{found:?} at {step}: {cost} {least}");
    }

    /// The states of all seeds at every step under a schedule, cleanest first, and the samples.
    fn run(&self, schedule: &[Setting]) -> Vec<Trajectory> {
        let one = |seed: usize| {
            plain::sample_with(&self.noise[seed], T, &mut |step, x, _| {
                (self.estimate(schedule[step - 1], seed, step, x), None)
            })
        };
        (0..N_SEEDS).map(one).collect()
    }

    fn states_of_network(&self, step: usize) -> Vec<ImageBatch> {
        self.ways.iter().map(|way| way.states[step - 1].clone()).collect()
    }
}

fn settings(candidate: &Value) -> Vec<Setting> {
    let number = |step: &Value, key: &str| step[key].as_f64().unwrap();
    let setting = |step: &Value| Setting {
        k: number(step, "k") as usize,
        lambda: number(step, "lambda"),
        gamma: number(step, "gamma"),
        tau: number(step, "tau"),
    };
    candidate["settings"].as_array().unwrap().iter().map(setting).collect()
}

/// Combinations that a machine of this source takes.
fn grid(source: Option<AttentionSource>) -> Vec<Setting> {
    let (lambdas, gammas, taus): (&[f64], &[f64], &[f64]) = match source {
        None => (&[0.0], &[0.0], &[0.0]),
        Some(AttentionSource::Similarity { .. }) => (&LAMBDAS, &GAMMAS, &TAUS),
        Some(_) => (&LAMBDAS, &GAMMAS, &[0.0]),
    };
    let mut all = Vec::new();
    for k in SIDES {
        for &tau in taus {
            for &lambda in lambdas {
                all.extend(gammas.iter().map(|&gamma| Setting { k, lambda, gamma, tau }));
            }
        }
    }
    all
}

fn calibrate(lab: &Lab, id: &str, machines: &str) -> Value {
    let list = |name: &str, values: &[f64]| {
        let values: Vec<String> = values.iter().map(f64::to_string).collect();
        format!("calibrate.{name}={}", values.join(","))
    };
    let settings = [
        format!("calibrate.seeds={N_SEEDS}"),
        "calibrate.k=3,5,7".to_owned(),
        list("lambda", &LAMBDAS),
        list("gamma", &GAMMAS),
        list("tau", &TAUS),
        format!("theory.machines={machines}"),
    ];
    let mut arguments = vec!["calibrate", id, "--json"];
    settings.iter().for_each(|setting| arguments.extend(["--set", setting]));
    serde_json::from_str(&printed(lab, &arguments)).unwrap()
}

fn trajectories(trained: &Trained, noise: &[ImageBatch]) -> Vec<Trajectory> {
    let network = trained.network.clone().recording(AttentionDetail::Maps);
    noise.iter().map(|noise| plain::sample(&network, noise, T)).collect()
}

#[test]
fn calibrated_schedules_are_the_best_of_an_exhaustive_search() {
    let lab = Lab::new();
    let run = train(&lab, "els");
    let names = "els,attention-similarity,attention-trajectory,attention-pooled";
    let found = calibrate(&lab, &run.id(), names);
    assert_eq!((&found["first_seed"], &found["n_seeds"]), (&500.into(), &N_SEEDS.into()));
    assert_eq!((&found["n_steps"], &found["step"]), (&T.into(), &30.into()));

    let trained = open(&run, names);
    let shape = trained.dataset.shape();
    let noise: Vec<ImageBatch> = (500..500 + N_SEEDS as u64)
        .map(|seed| noise_seeds(trained.experiment.noise_seed, seed, 1, shape))
        .collect();
    let ways = trajectories(&trained, &noise);
    let images = Arc::new(TrainingImages::from_dataset(&trained.dataset).unwrap());
    let sources = [
        None,
        Some(AttentionSource::Similarity { tau: 1.0 }),
        Some(AttentionSource::Trajectory),
        Some(AttentionSource::Pooled),
    ];
    let machines = found["machines"].as_array().unwrap();
    assert_eq!(machines.len(), 4);
    for (machine, source) in machines.iter().zip(sources) {
        let search = Search { noise: &noise, ways: &ways, images: images.clone(), source };
        check_candidates(machine, &search);
        check_fit(machine, &search);
    }
}

/// Every schedule is what it says, samples as it says, and the right one is kept.
fn check_candidates(machine: &Value, search: &Search<'_>) {
    let candidates = machine["candidates"].as_array().unwrap();
    let of = |origin: &str, boost: f64| -> Vec<Vec<Setting>> {
        let is_it = |c: &&Value| c["origin"] == origin && c["boost"] == boost;
        candidates.iter().filter(is_it).map(settings).collect()
    };
    let grid = grid(search.source);
    let (network, own) = (of("network", 1.0), of("own", 1.0));
    check_fits(search, &grid, &network, &own);
    let boosts: &[f64] = if search.source.is_some() { &[1.5, 2.0, 4.0] } else { &[] };
    for (origin, fit) in [("network", &network[0]), ("own", &own[0])] {
        for &boost in boosts {
            let boosted = fit.iter().map(|s| Setting { lambda: s.lambda * boost, ..*s });
            assert_eq!(of(origin, boost), [boosted.collect::<Vec<_>>()], "{origin} {boost}");
        }
    }
    let constant = of("constant", 1.0);
    SIDES.iter().for_each(|&k| check_constant(search, &grid, &constant, k));
    let is_pooled = search.source == Some(AttentionSource::Pooled);
    if is_pooled {
        check_pooled_sharing(search, &constant);
    }
    let n_constant = SIDES.len() + if is_pooled { 7 } else { 0 };
    assert_eq!(constant.len(), n_constant);
    assert_eq!(candidates.len(), 2 * (1 + boosts.len()) + n_constant);
    check_ranking(candidates, search);
}

/// One of the constant schedules has side `k` and the least error of all settings with it, over all steps.
fn check_constant(search: &Search<'_>, grid: &[Setting], constant: &[Vec<Setting>], k: usize) {
    let cost = |setting: &Setting| -> f64 {
        (1..=T).map(|step| search.cost(*setting, step, &search.states_of_network(step))).sum()
    };
    let of_side = |setting: &&Setting| setting.k == k;
    let least = grid.iter().filter(of_side).map(cost).fold(f64::INFINITY, f64::min);
    let is_best = |schedule: &&Vec<Setting>| {
        let first = schedule[0];
        first.k == k
            && schedule.iter().all(|setting| *setting == first)
            && cost(&first) <= least + 1e-6 * (1.0 + least)
    };
    assert!(constant.iter().any(|schedule| is_best(&schedule)), "side {k}: {constant:?}");
}

/// The pooled machine's own sharings, none among them, with the patch sides that fit best without any.
fn check_pooled_sharing(search: &Search<'_>, constant: &[Vec<Setting>]) {
    let plain: Vec<Setting> =
        SIDES.map(|k| Setting { k, lambda: 0.0, gamma: 0.0, tau: 0.0 }).into();
    let sharing = [0.05, 0.1, 0.2].map(|lambda| [(lambda, 0.1), (lambda, 0.2)]).concat();
    for (lambda, gamma) in sharing.into_iter().chain([(0.0, 0.0)]) {
        let has_it = |schedule: &&Vec<Setting>| {
            schedule.iter().all(|s| (s.lambda, s.gamma, s.tau) == (lambda, gamma, 0.0))
        };
        let schedule = constant.iter().find(has_it).expect("a schedule with this sharing");
        for (step, setting) in (1..).zip(schedule) {
            let without = Setting { lambda: 0.0, gamma: 0.0, ..*setting };
            search.check_best(without, &plain, step, &search.states_of_network(step));
        }
    }
}

fn check_fits(
    search: &Search<'_>,
    grid: &[Setting],
    network: &[Vec<Setting>],
    own: &[Vec<Setting>],
) {
    let ([network], [own]) = (network, own) else { panic!("one fit of each kind") };
    let along_itself = search.run(own);
    for step in 1..=T {
        search.check_best(network[step - 1], grid, step, &search.states_of_network(step));
        let states: Vec<_> = along_itself.iter().map(|way| way.states[step - 1].clone()).collect();
        search.check_best(own[step - 1], grid, step, &states);
    }
}

/// Figures of final samples, and the order of the candidates.
fn check_ranking(candidates: &[Value], search: &Search<'_>) {
    let mut all = Vec::new();
    for candidate in candidates {
        let made = search.run(&settings(candidate));
        let pairs = || made.iter().zip(search.ways);
        let r: Vec<f64> = pairs().map(|(m, n)| pearson(&m.sample, &n.sample)).collect();
        let errors: Vec<f64> = pairs().map(|(m, n)| squared_error(&m.sample, &n.sample)).collect();
        let number = |key: &str| candidate[key].as_f64().unwrap();
        check_close(number("r_mean"), mean(&r), TOLERANCE, "mean r");
        check_close(number("r"), quantile(&r, 0.5), TOLERANCE, "median r");
        check_close(number("error"), mean(&errors), TOLERANCE, "final error");
        all.push(number("r_mean"));
    }
    assert!(all.windows(2).all(|pair| pair[0] >= pair[1]), "by mean r: {all:?}");
}

/// The fit of the kept schedule at the network's states.
fn check_fit(machine: &Value, search: &Search<'_>) {
    let schedule = settings(&machine["candidates"][0]);
    for (step, found) in (1..).zip(machine["steps"].as_array().unwrap()) {
        let (mut cosine, mut r_squared) = (Vec::new(), Vec::new());
        for (seed, way) in search.ways.iter().enumerate() {
            let x = &way.states[step - 1];
            let x0 = search.estimate(schedule[step - 1], seed, step, x);
            cosine.push(search.cosine(seed, step, x, &x0));
            r_squared.push(plain::r_squared(&x0, &way.x0[step - 1]));
        }
        let centre = mean(&r_squared);
        let spread: Vec<f64> = r_squared.iter().map(|v| (v - centre).powi(2)).collect();
        for (key, expected) in [
            ("t", step as f64 / T as f64),
            ("cosine", quantile(&cosine, 0.5)),
            ("r_squared", centre),
            ("r_squared_sd", mean(&spread).sqrt()),
        ] {
            check_close(found[key].as_f64().unwrap(), expected, TOLERANCE, key);
        }
    }
}
