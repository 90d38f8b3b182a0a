//! Training steps on an emulated GPU, compared with the trainer on the CPU; runs the same commands as a real
//! GPU.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use candle_core::Device;
use mosaic_lab::dataset::{Batches, Dataset};
use mosaic_lab::diffusion::Schedule;
use mosaic_lab::image::ImageShape;
use mosaic_lab::network::gpu::command_plan::{
    Command, Convolution, Launch, Matrix, Pass, Place, Plan, Product,
};
use mosaic_lab::network::gpu::compute_type::Storage;
use mosaic_lab::network::network_config::{
    Architecture, AttentionConfig, AttentionVariant, NetworkConfig, Output, Padding, Readout,
};
use mosaic_lab::training::checkpoint_settings::DecidingSettings;
use mosaic_lab::training::gpu_commands::GpuStep;
use mosaic_lab::training::learning_rate::learning_rate;
use mosaic_lab::training::loss::noisy_batch;
use mosaic_lab::training::trainer::Trainer;
use mosaic_lab::training::training_config::{
    ComputeType, LossWeighting, LrSchedule, TrainingConfig,
};

use crate::gpu::{compiled, run};

pub fn program() -> Option<PathBuf> {
    static DONE: OnceLock<Option<PathBuf>> = OnceLock::new();
    DONE.get_or_init(|| compiled("layers.c", "layers", &[])).clone()
}

/// A GPU's memory, and the process that executes its commands.
pub struct Emulated {
    pub program: PathBuf,
    pub buffers: Vec<Vec<f32>>,
    storage: Vec<Storage>,
}

#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn number(&mut self, number: usize) {
        self.0.extend((number as i64).to_ne_bytes());
    }

    fn real(&mut self, real: f64) {
        self.0.extend(real.to_ne_bytes());
    }

    fn place(&mut self, place: Place) {
        self.number(place.buffer);
        self.number(place.first);
    }

    fn matrix(&mut self, matrix: Matrix) {
        self.place(matrix.place);
        [matrix.row, matrix.stride, usize::from(matrix.transposed)]
            .into_iter()
            .for_each(|number| self.number(number));
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Launch(launch) => self.launch(launch),
            Command::Product(Product { sizes, a, b, c, alpha, beta, count, .. }) => {
                self.number(1);
                sizes.iter().for_each(|&size| self.number(size));
                [*a, *b, *c].into_iter().for_each(|matrix| self.matrix(matrix));
                self.real(*alpha);
                self.real(*beta);
                self.number(*count);
            }
            Command::Convolution(Convolution { pass, sizes, x, w, y, adds }) => {
                let pass = match pass {
                    Pass::Forward => 0,
                    Pass::Input => 1,
                    Pass::Weight => 2,
                };
                let mosaic_lab::network::gpu::command_plan::ConvolutionSizes {
                    batch,
                    height,
                    width,
                    c_in,
                    c_out,
                    kernel,
                    border,
                } = *sizes;
                [2, pass, batch, height, width, c_in, c_out, kernel, border]
                    .into_iter()
                    .for_each(|number| self.number(number));
                [*x, *w, *y].into_iter().for_each(|place| self.place(place));
                self.number(usize::from(*adds));
            }
        }
    }

    fn launch(&mut self, launch: &Launch) {
        self.number(0);
        let mut name = launch.kernel.as_bytes().to_vec();
        name.resize(32, 0);
        self.0.extend(name);
        let sizes = [launch.blocks[0], launch.blocks[1], launch.threads, launch.shared];
        sizes.into_iter().for_each(|size| self.number(size));
        self.number(launch.buffers.len());
        launch.buffers.iter().for_each(|&place| self.place(place));
        self.number(launch.numbers.len());
        launch.numbers.iter().for_each(|&number| self.number(number));
        self.number(launch.reals.len());
        launch.reals.iter().for_each(|&real| self.real(real));
    }
}

impl Emulated {
    /// Initialises all memory to `value`.
    pub fn new(program: PathBuf, plan: &Plan, value: f32) -> Self {
        let buffers = plan.buffers.iter().map(|buffer| vec![value; buffer.len]).collect();
        let storage = plan.buffers.iter().map(|buffer| buffer.storage).collect();
        Self { program, buffers, storage }
    }

    pub fn run<'a>(&mut self, commands: impl IntoIterator<Item = &'a Command>) {
        self.try_run(commands).unwrap();
    }

    /// Runs commands; `Err` holds the emulator's complaint.
    fn try_run<'a>(
        &mut self,
        commands: impl IntoIterator<Item = &'a Command>,
    ) -> Result<(), String> {
        let mut bytes = Bytes::default();
        bytes.number(self.buffers.len());
        for (buffer, &storage) in self.buffers.iter().zip(&self.storage) {
            bytes.number(buffer.len());
            bytes.number(usize::from(storage == Storage::Bf16));
            bytes.0.extend(buffer.iter().flat_map(|value| value.to_ne_bytes()));
        }
        let commands: Vec<&Command> = commands.into_iter().collect();
        bytes.number(commands.len());
        commands.iter().for_each(|command| bytes.command(command));
        let output = run(&self.program, bytes.0)?;
        let mut values = output.as_chunks().0.iter().map(|&bytes| f32::from_ne_bytes(bytes));
        for buffer in &mut self.buffers {
            buffer.iter_mut().for_each(|value| *value = values.next().unwrap());
        }
        Ok(())
    }
}

pub fn training(batch: usize) -> TrainingConfig {
    TrainingConfig {
        steps: 100,
        batch,
        seed: 3,
        learning_rate: 2e-3,
        compute_type: ComputeType::F32,
        warmup: 0,
        lr_schedule: LrSchedule::Cosine,
        weighting: LossWeighting::Velocity,
        weight_decay: 0.01,
        ema_decay: 0.9,
        checkpoint_every: 10,
        keep_checkpoints: 2,
        rollback_after: 3,
        ..TrainingConfig::default()
    }
}

pub fn network(architecture: Architecture) -> NetworkConfig {
    NetworkConfig {
        schedule: Schedule::default(),
        image: ImageShape::new(1, 6, 4),
        architecture,
        padding: Padding::Circular,
        group_norm: false,
        last_kernel: 3,
        readout: Readout::Linear,
        n_classes: None,
        attention: None,
        output: Output::Velocity,
        time_scale: 1.0,
        clamp: true,
    }
}

pub fn resnet() -> Architecture {
    Architecture::ResNet { width: 16, kernels: vec![3, 1] }
}

pub fn attention(variant: AttentionVariant, normalise: bool) -> Option<AttentionConfig> {
    Some(AttentionConfig { variant, heads: 2, head_width: 4, normalise })
}

/// Networks with every attention variant and readout that can be trained on GPUs.
pub fn attentions() -> [NetworkConfig; 5] {
    use AttentionVariant::{Identity, Softmax, Uniform};
    use Readout::{Linear, Relu};
    [
        (Softmax, true, Linear),
        (Softmax, true, Relu),
        (Softmax, false, Linear),
        (Uniform, true, Relu),
        (Identity, true, Linear),
    ]
    .map(|(variant, normalise, readout)| {
        let attention = attention(variant, normalise);
        NetworkConfig { attention, last_kernel: 1, readout, ..network(resnet()) }
    })
}

pub fn images(shape: ImageShape) -> Arc<Dataset> {
    let n = 10;
    let pixels: Vec<u8> = (0..n * shape.n_values()).map(|i| ((i * i) % 251) as u8).collect();
    let labels = (0..n).map(|i| (i % 3) as u8).collect();
    Arc::new(Dataset::new("noise", shape, pixels, Some(labels)))
}

/// Compares steps of both. Every step starts from the trainer's weights, so that errors do not accumulate.
fn check(network: &NetworkConfig, config: &TrainingConfig, piece: usize) {
    let Some(program) = program() else { return };
    let dataset = images(network.image);
    let mut trainer = Trainer::new(
        config.clone(),
        network,
        dataset.clone(),
        DecidingSettings::default(),
        &Device::Cpu,
    )
    .unwrap();
    let step = GpuStep::new(config, network, piece).unwrap();
    let mut gpu = Emulated::new(program, &step.plan, f32::NAN);
    for kept in [step.kept.gradients, step.kept.mean, step.kept.square, step.kept.state] {
        gpu.buffers[kept.buffer].fill(0.0);
    }
    gpu.buffers[step.kept.parameters.buffer].fill(0.0);
    let put =
        |gpu: &mut Emulated, place: Place, map: &mosaic_lab::network::TensorMap, prefix: &str| {
            for parameter in &step.parameters {
                let tensor = &map[&format!("{prefix}{}", parameter.name)];
                let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                parameter.to_gpu(&values, &mut gpu.buffers[place.buffer]);
            }
        };
    let mut order = Batches::new(dataset.len(), config.batch, config.seed);
    for n in 0..3_u64 {
        let before = trainer.contents().unwrap();
        put(&mut gpu, step.kept.parameters, &before.weights, "");
        if n == 0 {
            let parameters = gpu.buffers[step.kept.parameters.buffer].clone();
            gpu.buffers[step.kept.average.buffer] = parameters;
        }
        let batch = noisy_batch(&dataset, &mut order, config, Schedule::default(), n);
        let report = trainer.step().unwrap();
        for number in 0..step.n_pieces() {
            let rate = learning_rate(config, n);
            step.fill(&batch, number, rate, &mut gpu.buffers[step.inputs.x.buffer]);
            gpu.run(&step.gradients);
        }
        let gradients = gpu.buffers[step.kept.gradients.buffer].clone();
        gpu.run(&step.update);
        let label = format!("{network:?}, step {n}");
        let found = &gpu.buffers[step.kept.report.buffer];
        for ((_, expected), found) in report.errors.iter().zip(found) {
            assert!(
                (expected - f64::from(*found)).abs() < 1e-4 * expected,
                "{label}: {found} {expected}"
            );
        }
        let norm = f64::from(found[config.batch]);
        assert!(
            (norm / report.gradient_norm - 1.0).abs() < 1e-3,
            "{label}: {norm} {}",
            report.gradient_norm
        );
        assert_eq!(found[config.batch + 1], n as f32 + 1.0, "{label}");
        assert!(gpu.buffers[step.kept.gradients.buffer].iter().all(|gradient| *gradient == 0.0));
        let after = trainer.contents().unwrap();
        let scale = report.gradient_norm.max(1e-12);
        let maps = [
            (step.kept.mean, &after.optimizer, "mean.", 1e-4),
            (step.kept.parameters, &after.weights, "", 1e-3),
            (step.kept.average, &after.ema, "", 1e-3),
        ];
        for parameter in &step.parameters {
            // Gradients first, because they show which layer is wrong.
            let of_batch = parameter.to_network(&gradients);
            assert!(of_batch.iter().all(|value| value.is_finite()), "{label}: {}", parameter.name);
            for (place, map, prefix, tolerance) in maps {
                let name = format!("{prefix}{}", parameter.name);
                let expected = map[&name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let found = parameter.to_network(&gpu.buffers[place.buffer]);
                let errors = expected.iter().zip(&found).map(|(a, b)| f64::from((a - b).abs()));
                let worst = errors.fold(0.0, f64::max);
                let limit =
                    if prefix.is_empty() { config.learning_rate } else { 1.0_f64.min(scale) };
                // Gradients near zero may differ in sign, and Adam's first steps depend only on the sign.
                let sign = if prefix.is_empty() { 2.0 * config.learning_rate } else { 0.0 };
                let is_tiny = of_batch.iter().any(|g| f64::from(g.abs()) < 1e-6 * scale);
                let limit = tolerance * limit + if is_tiny { sign } else { 0.0 };
                assert!(worst <= limit.max(1e-7), "{label}: {name} differs by {worst:e}");
            }
        }
    }
}

#[test]
fn a_resnets_steps_are_those_of_the_cpu() {
    for padding in [Padding::Circular, Padding::Zeros] {
        for group_norm in [false, true] {
            let network = NetworkConfig { padding, group_norm, ..network(resnet()) };
            check(&network, &training(4), 4);
        }
    }
}

#[test]
fn a_unets_steps_are_those_of_the_cpu() {
    for (image, group_norm) in [(ImageShape::new(3, 4, 8), false), (ImageShape::new(1, 8, 4), true)]
    {
        let architecture = Architecture::UNet { widths: vec![8, 16, 24], embedding: 16 };
        let network = NetworkConfig { image, group_norm, ..network(architecture) };
        check(&network, &training(3), 3);
    }
}

#[test]
fn attentions_steps_are_those_of_the_cpu() {
    for network in attentions() {
        check(&network, &training(4), 4);
    }
}

#[test]
fn classes_pieces_and_the_noise_loss_are_those_of_the_cpu() {
    let network = NetworkConfig {
        n_classes: Some(3),
        output: Output::Noise,
        image: ImageShape::new(3, 5, 5),
        ..network(resnet())
    };
    let config = TrainingConfig { accumulate: 2, weighting: LossWeighting::Noise, ..training(6) };
    check(&network, &config, 3);
}

#[test]
fn a_step_that_is_not_finite_changes_nothing() {
    let Some(program) = program() else { return };
    let (network, config) = (network(resnet()), training(2));
    let step = GpuStep::new(&config, &network, 2).unwrap();
    let n = step.n_parameters;
    let mut gpu = Emulated::new(program, &step.plan, 0.5);
    gpu.buffers[step.kept.gradients.buffer][n - 1] = f32::NAN;
    let before = gpu.buffers.clone();
    gpu.run(&step.update);
    for kept in [step.kept.parameters, step.kept.mean, step.kept.square, step.kept.average] {
        assert_eq!(gpu.buffers[kept.buffer], before[kept.buffer]);
    }
    assert!(gpu.buffers[step.kept.report.buffer][config.batch].is_nan());
    assert!(gpu.buffers[step.kept.gradients.buffer].iter().all(|gradient| *gradient == 0.0));
}

#[test]
fn a_kernel_that_leaves_its_buffers_is_caught() {
    let Some(program) = program() else { return };
    let mut plan = Plan::default();
    let [x, y] = [8, 8].map(|n| plan.buffer(n));
    let relu = |n: usize, to: Place| {
        Command::Launch(Launch {
            kernel: "relu",
            blocks: [1, 1],
            threads: 32,
            shared: 0,
            buffers: vec![x, to],
            numbers: vec![n],
            reals: vec![],
        })
    };
    let mut gpu = Emulated::new(program, &plan, 1.0);
    assert_eq!(gpu.try_run([&relu(8, y)]), Ok(()));
    for wrong in [relu(9, y), relu(8, y.after(1))] {
        assert_eq!(plan.check(std::slice::from_ref(&wrong)), Ok(()), "only running it can tell");
        let found = gpu.try_run([&wrong]);
        assert_eq!(found, Err("relu wrote outside of buffer 1".to_owned()));
    }
}
