//! The layout of the parameters of a network on a GPU: one after the other, channels last and padded.
//!
//! The padding is zero and stays zero: it is multiplied with zeros, and so is its gradient.

use super::command_plan::Place;

/// Numbers of channels are padded to multiples of this on a GPU, with zeros.
const CHANNELS: usize = 8;

/// The padded number of channels on a GPU.
pub fn rounded(channels: usize) -> usize {
    channels.next_multiple_of(CHANNELS)
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    /// Dimensions in the network.
    pub dims: Vec<usize>,
    order: Order,
    /// Index of its first value among all parameters.
    pub first: usize,
}

/// The order of the values of a parameter on a GPU; n' is n padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `[n]` to `[n']`.
    Vector,
    /// [rows, columns] to [rows, columns'].
    Table,
    /// [O, I, k, k] or [O, I] to [O', k, k, I'].
    Filters,
    /// [I, O, 2, 2] of a transposed 2x2 convolution to [2, 2, O', I'].
    Dealt,
}

impl Order {
    /// Number of values on the GPU.
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

    /// The index on the GPU of value `index` in the order of the network.
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
    /// Number of values in the network.
    pub fn n_values(&self) -> usize {
        self.dims.iter().product()
    }

    /// This parameter in the order of the network, from `all` parameters of the GPU.
    pub fn to_network(&self, all: &[f32]) -> Vec<f32> {
        let place = |index| all[self.first + self.order.place(&self.dims, index)];
        (0..self.n_values()).map(place).collect()
    }

    /// Writes the values of this parameter to `all` parameters of the GPU.
    pub fn to_gpu(&self, values: &[f32], all: &mut [f32]) {
        for (index, &value) in values.iter().enumerate() {
            all[self.first + self.order.place(&self.dims, index)] = value;
        }
    }
}

/// All parameters of a network, in their order on the GPU.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    pub all: Vec<Parameter>,
    n_values: usize,
}

impl Parameters {
    /// Number of values of all parameters on the GPU.
    pub fn n_values(&self) -> usize {
        self.n_values
    }

    /// Adds a parameter and returns the index of its first value.
    pub fn add(&mut self, name: String, dims: &[usize], order: Order) -> usize {
        let first = self.n_values;
        self.n_values += order.len(dims);
        self.all.push(Parameter { name, dims: dims.to_vec(), order, first });
        first
    }

    /// Adds parameters of these names and dimensions, one after the other, and returns the index of the first value.
    pub fn add_all(
        &mut self,
        all: impl IntoIterator<Item = (String, Vec<usize>)>,
        order: Order,
    ) -> usize {
        let first = self.n_values;
        for (name, dims) in all {
            self.add(name, &dims, order);
        }
        first
    }
}

/// The buffers of all parameters and gradients.
#[derive(Clone, Copy, Debug)]
pub struct Homes {
    pub parameters: Place,
    pub gradients: Place,
    /// The parameters in the number format of hidden layers; `parameters` itself for single precision.
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
