//! Validation of commands before they run on a GPU.
//!
//! Products and convolutions can be validated completely, because their sizes determine which values the libraries
//! access. Of a kernel only the numbers and the places where its buffers start can be checked; how far it goes is in
//! its code.

use super::command_plan::{
    Command, Convolution, ConvolutionSizes, Launch, Matrix, Place, Plan, Product,
};
use super::compute_type::Storage;

/// Most blocks of a launch along each axis.
const BLOCKS_MAX: [usize; 2] = [i32::MAX as usize, u16::MAX as usize];
const THREADS_MAX: usize = 1024;
/// Most shared memory of a launch in 4-byte values: no GPU has more than 256 kB per block.
const SHARED_MAX: usize = 1 << 16;
/// Capacities of `Arguments` in `kernels/values.cuh`.
pub const N_BUFFERS: usize = 8;
pub const N_NUMBERS: usize = 10;
pub const N_REALS: usize = 4;

impl Plan {
    /// Validates commands as far as possible without running them:
    ///
    /// - products and convolutions stay inside their buffers, have number formats that their library takes, and sizes that
    ///   fit 32 bits,
    /// - launches use existing buffers, no more arguments than `Arguments` of `kernels/values.cuh` holds, and bfloat16 only
    ///   where the kernel takes it.
    ///
    /// How far a *kernel* goes from its places depends on its code, which is not checked here: `tests/emulator` runs the
    /// commands of networks and training steps over guarded buffers.
    ///
    /// # Errors
    ///
    /// Names the first invalid command.
    pub fn check(&self, commands: &[Command]) -> Result<(), String> {
        match commands.iter().find(|command| !self.takes(command)) {
            None => Ok(()),
            Some(command) => {
                Err(format!("a command does not fit its buffers or the GPU: {command:?}"))
            }
        }
    }

    fn takes(&self, command: &Command) -> bool {
        match command {
            Command::Launch(launch) => self.takes_launch(launch),
            Command::Product(product) => self.takes_product(product),
            Command::Convolution(convolution) => self.takes_convolution(convolution),
        }
    }

    /// Whether `n` values from a place on are inside its buffer; `None` stands for an overflow.
    fn holds(&self, place: Place, n: Option<usize>) -> bool {
        let end = n.and_then(|n| place.first.checked_add(n));
        let buffer = self.buffers.get(place.buffer);
        end.zip(buffer).is_some_and(|(end, buffer)| end <= buffer.len)
    }

    fn takes_launch(&self, launch: &Launch) -> bool {
        let Launch { blocks, threads, shared, buffers, numbers, reals, .. } = launch;
        blocks.iter().zip(BLOCKS_MAX).all(|(&n, most)| (1..=most).contains(&n))
            && (1..=THREADS_MAX).contains(threads)
            && *shared <= SHARED_MAX
            && buffers.len() <= N_BUFFERS
            && numbers.len() <= N_NUMBERS
            && reals.len() <= N_REALS
            && numbers.iter().all(|&n| is_int(n))
            && buffers.iter().all(|&place| self.holds(place, Some(1)))
            && self.bf16_of(launch).iter().all(|which| launch.takes_bf16(*which))
    }

    fn takes_product(&self, product: &Product) -> bool {
        let Product { sizes: [m, n, k], a, b, c, count, .. } = *product;
        let matrix = |of: Matrix, [rows, columns]: [usize; 2]| {
            let [rows, columns] = if of.transposed { [columns, rows] } else { [rows, columns] };
            let before = (count - 1).checked_mul(of.stride);
            let last = (rows - 1).checked_mul(of.row).and_then(|last| last.checked_add(columns));
            let end = before.zip(last).and_then(|(before, last)| before.checked_add(last));
            columns <= of.row && is_int(of.row) && self.holds(of.place, end)
        };
        [m, n, k, count].iter().all(|&size| size >= 1 && is_int(size))
            && matrix(a, [m, k])
            && matrix(b, [k, n])
            && matrix(c, [m, n])
            // cuBLAS cannot transpose the result.
            && !c.transposed
            && self.storage(a.place) == self.storage(b.place)
            // Products in single precision are written in single precision.
            && (self.storage(c.place) == self.storage(a.place)
                || self.storage(a.place) == Storage::Bf16)
    }

    fn takes_convolution(&self, convolution: &Convolution) -> bool {
        let Convolution { sizes, x, w, y, .. } = *convolution;
        let ConvolutionSizes { batch, height, width, c_in, c_out, kernel, border } = sizes;
        let each = [batch, height, width, c_in, c_out, kernel];
        let is_counted = each.iter().all(|&size| size >= 1 && is_int(size)) && is_int(border);
        let reaches = |side: usize| kernel <= side + 2 * border;
        if !is_counted || !reaches(height) || !reaches(width) {
            return false;
        }
        let [high, wide] = sizes.sides_out();
        let product = |sizes: [usize; 4]| {
            sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))
        };
        self.holds(x, product([batch, height, width, c_in]))
            && self.holds(w, product([c_out, kernel, kernel, c_in]))
            && self.holds(y, product([batch, high, wide, c_out]))
            && self.storage(x) == self.storage(w)
            && self.storage(w) == self.storage(y)
    }
}

/// Whether `n` fits the 32-bit integers of libraries and kernels.
fn is_int(n: usize) -> bool {
    i32::try_from(n).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::command_plan::Pass;
    use super::*;

    /// A product of 3x2 by 2x4 values whose buffers are as large as it needs.
    fn product(plan: &mut Plan) -> Product {
        let [a, b, c] = [6, 8, 12].map(|n| plan.buffer(n));
        Product {
            sizes: [3, 4, 2],
            a: Matrix::of(a, 2),
            b: Matrix::of(b, 4),
            c: Matrix::of(c, 4),
            alpha: 1.0,
            beta: 0.0,
            count: 1,
            exact: true,
        }
    }

    #[test]
    fn commands_beyond_their_buffers_are_refused() {
        let mut plan = Plan::default();
        let product = product(&mut plan);
        let c = product.c.place;
        assert_eq!(plan.check(&[Command::Product(product)]), Ok(()));
        let wrong = Product { c: Matrix::of(c.after(1), 4), ..product };
        assert!(plan.check(&[Command::Product(wrong)]).is_err());
        let wrong = Product { count: 2, ..product };
        assert_eq!(plan.check(&[Command::Product(wrong)]), Ok(()), "the same matrices twice");
        let wrong = Product { count: 2, a: product.a.every(6), ..product };
        assert!(plan.check(&[Command::Product(wrong)]).is_err());
    }

    #[test]
    fn sizes_that_overflow_or_are_nothing_are_refused() {
        let mut plan = Plan::default();
        let good = product(&mut plan);
        let [a, b, c] = [good.a, good.b, good.c].map(|matrix| matrix.place);
        let half = plan.buffer_of(12, Storage::Bf16);
        let far = Place { buffer: a.buffer, first: usize::MAX };
        for wrong in [
            Product { count: 0, ..good },
            Product { sizes: [0, 4, 2], ..good },
            Product { count: 3, a: good.a.every(usize::MAX / 2 + 1), ..good },
            Product { a: Matrix { place: far, ..good.a }, ..good },
            Product { a: Matrix { place: Place { buffer: 9, first: 0 }, ..good.a }, ..good },
            Product { c: good.c.transposed(), ..good },
            // Four bytes would be written where two are kept.
            Product { c: Matrix::of(half, 4), ..good },
        ] {
            assert!(plan.check(&[Command::Product(wrong)]).is_err(), "{wrong:?}");
        }
        let sizes = ConvolutionSizes {
            batch: 1,
            height: 2,
            width: 2,
            c_in: 1,
            c_out: 1,
            kernel: 1,
            border: 0,
        };
        let good = Convolution { pass: Pass::Forward, sizes, x: a, w: b, y: c, adds: false };
        assert_eq!(plan.check(&[Command::Convolution(good)]), Ok(()));
        for sizes in [
            ConvolutionSizes { kernel: 3, ..sizes },
            ConvolutionSizes { batch: 0, ..sizes },
            ConvolutionSizes { batch: 1 << 31, c_in: 1 << 31, height: 4, ..sizes },
        ] {
            let wrong = Convolution { sizes, ..good };
            assert!(plan.check(&[Command::Convolution(wrong)]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_launch_that_its_kernel_would_get_cut_is_refused() {
        let mut plan = Plan::default();
        let a = plan.buffer(8);
        let good = Launch {
            kernel: "relu",
            blocks: [1, 1],
            threads: 8,
            shared: 0,
            buffers: vec![a; N_BUFFERS],
            numbers: vec![8; N_NUMBERS],
            reals: vec![1.0; N_REALS],
        };
        let check = |launch: Launch| plan.check(&[Command::Launch(launch)]);
        assert_eq!(check(good.clone()), Ok(()));
        for wrong in [
            Launch { buffers: vec![a; N_BUFFERS + 1], ..good.clone() },
            Launch { numbers: vec![8; N_NUMBERS + 1], ..good.clone() },
            Launch { reals: vec![1.0; N_REALS + 1], ..good.clone() },
            Launch { numbers: vec![1 << 31], ..good.clone() },
            Launch { shared: 1 << 62, ..good.clone() },
            Launch { buffers: vec![a.after(8)], ..good.clone() },
        ] {
            assert!(check(wrong.clone()).is_err(), "{wrong:?}");
        }
    }
}
