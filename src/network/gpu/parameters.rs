//! Where a network's parameters lie on a GPU: one after the other, channels last and rounded up.
//!
//! The rest of each rounded-up parameter is zero and stays so: what it is multiplied with is zero, and so is its
//! gradient.

use super::plan::Place;

/// Numbers of channels are multiples of this on a GPU; those that are added are zero.
const CHANNELS: usize = 8;

/// Channels as a GPU stores them.
pub fn rounded(channels: usize) -> usize {
    channels.next_multiple_of(CHANNELS)
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    /// As networks name its dimensions.
    pub dims: Vec<usize>,
    order: Order,
    /// Where it starts among all parameters.
    pub first: usize,
}

/// How a parameter's values are ordered on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `[n]` to `[n']`.
    Vector,
    /// [rows, columns] to [rows, columns'].
    Table,
    /// [O, I, k, k] or [O, I] to [O', k, k, I'].
    Filters,
    /// A transposed 2x2 convolution's [I, O, 2, 2] to [2, 2, O', I'].
    Dealt,
}

impl Order {
    /// Values on the GPU.
    fn len(self, dims: &[usize]) -> usize {
        match (self, dims) {
            (Self::Vector, &[n]) => rounded(n),
            (Self::Table, &[rows, columns]) => rows * rounded(columns),
            (Self::Filters, &[o, i, ref area @ ..]) => {
                rounded(o) * area.iter().product::<usize>() * rounded(i)
            }
            (Self::Dealt, &[i, o, ..]) => 4 * rounded(o) * rounded(i),
            _ => 0,
        }
    }

    /// Where value `index` of the network's order is on the GPU.
    fn place(self, dims: &[usize], index: usize) -> usize {
        match (self, dims) {
            (Self::Vector, _) => index,
            (Self::Table, &[_, columns]) => index / columns * rounded(columns) + index % columns,
            (Self::Filters, &[_, i, ref area @ ..]) => {
                let area = area.iter().product::<usize>();
                let (filter, at) = (index / area, index % area);
                (filter / i * area + at) * rounded(i) + filter % i
            }
            (Self::Dealt, &[i, o, ..]) => {
                let (pair, quarter) = (index / 4, index % 4);
                (quarter * rounded(o) + pair % o) * rounded(i) + pair / o
            }
            _ => index,
        }
    }
}

impl Parameter {
    /// Values in the network.
    pub fn n_values(&self) -> usize {
        self.dims.iter().product()
    }

    /// Takes this parameter out of all of a GPU's.
    pub fn to_network(&self, all: &[f32]) -> Vec<f32> {
        let place = |index| all[self.first + self.order.place(&self.dims, index)];
        (0..self.n_values()).map(place).collect()
    }

    /// Puts this parameter among all of a GPU's.
    pub fn to_gpu(&self, values: &[f32], all: &mut [f32]) {
        for (index, &value) in values.iter().enumerate() {
            all[self.first + self.order.place(&self.dims, index)] = value;
        }
    }
}

/// All parameters of a network, in the order of their places.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    pub all: Vec<Parameter>,
    n_values: usize,
}

impl Parameters {
    /// Values of all on the GPU.
    pub fn n_values(&self) -> usize {
        self.n_values
    }

    /// Adds one after the others; where it starts.
    pub fn add(&mut self, name: String, dims: &[usize], order: Order) -> usize {
        let first = self.n_values;
        self.n_values += order.len(dims);
        self.all.push(Parameter { name, dims: dims.to_vec(), order, first });
        first
    }
}

/// Where all parameters and all gradients are, and the parameters as hidden layers multiply with them.
#[derive(Clone, Copy, Debug)]
pub struct Homes {
    pub parameters: Place,
    pub gradients: Place,
    /// The parameters themselves where hidden layers keep single precision.
    pub rounded: Place,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_the_gpu_comes_back_and_leaves_zeros_between() {
        let mut parameters = Parameters::default();
        let cases: [(&[usize], Order); 5] = [
            (&[3], Order::Vector),
            (&[4, 9], Order::Table),
            (&[5, 3], Order::Filters),
            (&[5, 3, 3, 3], Order::Filters),
            (&[3, 5, 2, 2], Order::Dealt),
        ];
        for (dims, order) in cases {
            parameters.add(format!("{dims:?}"), dims, order);
        }
        let mut all = vec![0.0; parameters.n_values()];
        let values = |parameter: &Parameter| -> Vec<f32> {
            (1..=parameter.n_values()).map(|i| i as f32).collect()
        };
        parameters.all.iter().for_each(|parameter| parameter.to_gpu(&values(parameter), &mut all));
        for parameter in &parameters.all {
            assert_eq!(parameter.to_network(&all), values(parameter), "{parameter:?}");
        }
        let n_values: usize = parameters.all.iter().map(Parameter::n_values).sum();
        assert_eq!(all.iter().filter(|value| **value != 0.0).count(), n_values);
        // Filter 1 of [5, 3, 3, 3]: the first pixel's three channels lie together.
        let filters = &parameters.all[3];
        let start = filters.first + 9 * 8;
        assert_eq!(all[start..start + 4], [28.0, 37.0, 46.0, 0.0]);
    }
}
