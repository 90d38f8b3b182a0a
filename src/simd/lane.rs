//! SIMD vectors of `f32` and `f64`, with the operations that the inner loops need.
//!
//! A vector has as many lanes as a register of the processor: 16, 8 or 4 singles. Vectors are explicit because the
//! speed of the loops depends on all values staying in registers, which automatic vectorisation does not guarantee.

use std::ops::{Deref, DerefMut};

use pulp::{Arch, Simd, WithSimd, bytemuck};

use super::f32_or_f64::Real;

/// Keeps [`Lane`] to the two types of this file.
mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A number type with SIMD vectors: `f32` and `f64`.
///
/// Sealed, because [`super::matrix_product`] reads whole vectors without checking each: it relies on `Vector<S>` being
/// [`Lane::n_lanes`] numbers one after the other and nothing else.
pub trait Lane: Real + bytemuck::Pod + sealed::Sealed {
    /// A vector of the instruction set `S`.
    type Vector<S: Simd>: bytemuck::Pod;

    /// `values` as vectors, without the values that do not fill one.
    fn vectors<S: Simd>(values: &[Self]) -> &[Self::Vector<S>];
    fn vectors_mut<S: Simd>(values: &mut [Self]) -> &mut [Self::Vector<S>];
    /// `value` in every lane.
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;
    fn plus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn minus<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn times<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a * b + c`, fused where the processor can.
    fn mul_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
    fn min<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// The larger of `a` and `b`.
    fn larger<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// `a` where `x < y`, else `b`.
    fn select_lt<S: Simd>(
        simd: S,
        x: Self::Vector<S>,
        y: Self::Vector<S>,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// Whether `x < y` in any lane.
    fn any_less<S: Simd>(simd: S, x: Self::Vector<S>, y: Self::Vector<S>) -> bool;
    /// Whether `x <= y` in any lane.
    fn any_within<S: Simd>(simd: S, x: Self::Vector<S>, y: Self::Vector<S>) -> bool;
    /// `2^x`; results below the normal range may be the smallest normal number.
    fn exp2<S: Simd>(simd: S, x: Self::Vector<S>) -> Self::Vector<S>;

    /// Number of lanes.
    fn n_lanes<S: Simd>() -> usize {
        size_of::<Self::Vector<S>>() / size_of::<Self>()
    }
}

/// Number of lanes of a vector of `T` on the processor of the host.
pub fn n_lanes<T: Lane>() -> usize {
    struct Count<T>(std::marker::PhantomData<T>);
    impl<T: Lane> WithSimd for Count<T> {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            T::n_lanes::<S>()
        }
    }
    Arch::new().dispatch(Count::<T>(std::marker::PhantomData))
}

/// Operations on vectors that are methods of the `Simd` type under a name with the number type.
macro_rules! forward {
    ($($operation:ident($($vector:ident),*) = $method:ident;)*) => {
        $(
            #[inline(always)]
            fn $operation<S: Simd>(simd: S, $($vector: Self::Vector<S>),*) -> Self::Vector<S> {
                simd.$method($($vector),*)
            }
        )*
    };
}

impl Lane for f32 {
    type Vector<S: Simd> = S::f32s;

    forward! {
        plus(a, b) = add_f32s;
        minus(a, b) = sub_f32s;
        times(a, b) = mul_f32s;
        mul_add(a, b, c) = mul_add_e_f32s;
        min(a, b) = min_f32s;
        larger(a, b) = max_f32s;
    }

    #[inline(always)]
    fn vectors<S: Simd>(values: &[Self]) -> &[S::f32s] {
        S::as_simd_f32s(values).0
    }

    #[inline(always)]
    fn vectors_mut<S: Simd>(values: &mut [Self]) -> &mut [S::f32s] {
        S::as_mut_simd_f32s(values).0
    }

    #[inline(always)]
    fn splat<S: Simd>(simd: S, value: Self) -> S::f32s {
        simd.splat_f32s(value)
    }

    #[inline(always)]
    fn select_lt<S: Simd>(simd: S, x: S::f32s, y: S::f32s, a: S::f32s, b: S::f32s) -> S::f32s {
        simd.select_f32s(simd.less_than_f32s(x, y), a, b)
    }

    #[inline(always)]
    fn any_less<S: Simd>(simd: S, x: S::f32s, y: S::f32s) -> bool {
        simd.first_true_m32s(simd.less_than_f32s(x, y)) < Self::n_lanes::<S>()
    }

    #[inline(always)]
    fn any_within<S: Simd>(simd: S, x: S::f32s, y: S::f32s) -> bool {
        simd.first_true_m32s(simd.less_than_or_equal_f32s(x, y)) < Self::n_lanes::<S>()
    }

    /// `2^n 2^f` with `n = round(x)`, `|f| <= 1/2`, and the Taylor polynomial of `2^f`, whose remainder is below 2e-7.
    #[inline(always)]
    fn exp2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
        // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
        const ROUND: f32 = 12_582_912.0;
        const POWERS_OF_LN2: [f32; 6] = [
            1.540_353e-4,
            1.333_355_8e-3,
            9.618_129e-3,
            5.550_411e-2,
            2.402_265e-1,
            std::f32::consts::LN_2,
        ];
        let x = simd.max_f32s(x, simd.splat_f32s(-125.0));
        let shifted = simd.add_f32s(x, simd.splat_f32s(ROUND));
        let f = simd.sub_f32s(x, simd.sub_f32s(shifted, simd.splat_f32s(ROUND)));
        let mut p = simd.splat_f32s(POWERS_OF_LN2[0]);
        for coefficient in &POWERS_OF_LN2[1..] {
            p = simd.mul_add_e_f32s(p, f, simd.splat_f32s(*coefficient));
        }
        p = simd.mul_add_e_f32s(p, f, simd.splat_f32s(1.0));
        // The low bits of `shifted` are n, which is added to the exponent.
        let n = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
        simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(p), n))
    }
}

impl Lane for f64 {
    type Vector<S: Simd> = S::f64s;

    forward! {
        plus(a, b) = add_f64s;
        minus(a, b) = sub_f64s;
        times(a, b) = mul_f64s;
        mul_add(a, b, c) = mul_add_e_f64s;
        min(a, b) = min_f64s;
        larger(a, b) = max_f64s;
    }

    #[inline(always)]
    fn vectors<S: Simd>(values: &[Self]) -> &[S::f64s] {
        S::as_simd_f64s(values).0
    }

    #[inline(always)]
    fn vectors_mut<S: Simd>(values: &mut [Self]) -> &mut [S::f64s] {
        S::as_mut_simd_f64s(values).0
    }

    #[inline(always)]
    fn splat<S: Simd>(simd: S, value: Self) -> S::f64s {
        simd.splat_f64s(value)
    }

    #[inline(always)]
    fn select_lt<S: Simd>(simd: S, x: S::f64s, y: S::f64s, a: S::f64s, b: S::f64s) -> S::f64s {
        simd.select_f64s(simd.less_than_f64s(x, y), a, b)
    }

    #[inline(always)]
    fn any_less<S: Simd>(simd: S, x: S::f64s, y: S::f64s) -> bool {
        simd.first_true_m64s(simd.less_than_f64s(x, y)) < Self::n_lanes::<S>()
    }

    #[inline(always)]
    fn any_within<S: Simd>(simd: S, x: S::f64s, y: S::f64s) -> bool {
        simd.first_true_m64s(simd.less_than_or_equal_f64s(x, y)) < Self::n_lanes::<S>()
    }

    /// As for `f32`, with a remainder below 5e-18.
    #[inline(always)]
    fn exp2<S: Simd>(simd: S, x: S::f64s) -> S::f64s {
        // Adding and subtracting 1.5 * 2^52 rounds to the nearest integer.
        const ROUND: f64 = 6_755_399_441_055_744.0;
        // (ln 2)^i / i!, for i = 13 down to 1.
        const POWERS_OF_LN2: [f64; 13] = [
            1.369_148_885_390_412_9e-12,
            2.567_843_599_348_820_5e-11,
            4.445_538_271_870_811_5e-10,
            7.054_911_620_801_123e-9,
            1.017_808_600_923_97e-7,
            1.321_548_679_014_431e-6,
            1.525_273_380_405_984e-5,
            1.540_353_039_338_161e-4,
            1.333_355_814_642_844_3e-3,
            9.618_129_107_628_477e-3,
            5.550_410_866_482_158e-2,
            2.402_265_069_591_007e-1,
            std::f64::consts::LN_2,
        ];
        let x = simd.max_f64s(x, simd.splat_f64s(-1021.0));
        let shifted = simd.add_f64s(x, simd.splat_f64s(ROUND));
        let f = simd.sub_f64s(x, simd.sub_f64s(shifted, simd.splat_f64s(ROUND)));
        let mut p = simd.splat_f64s(POWERS_OF_LN2[0]);
        for coefficient in &POWERS_OF_LN2[1..] {
            p = simd.mul_add_e_f64s(p, f, simd.splat_f64s(*coefficient));
        }
        p = simd.mul_add_e_f64s(p, f, simd.splat_f64s(1.0));
        // The low bits of `shifted` are n, which is added to the exponent.
        let powers: &mut [u64] = bytemuck::cast_slice_mut(std::slice::from_mut(&mut p));
        let shifted: &[u64] = bytemuck::cast_slice(std::slice::from_ref(&shifted));
        for (power, n) in powers.iter_mut().zip(shifted) {
            *power = power.wrapping_add(n << 52);
        }
        p
    }
}

/// Values that start on a cache line, so that no vector straddles two.
#[derive(Debug)]
pub struct Buffer<T> {
    storage: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Real> Buffer<T> {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        const LINE: usize = 64;
        let storage = vec![T::ZERO; len + LINE / size_of::<T>()];
        let start = storage.as_ptr().align_offset(LINE).min(LINE / size_of::<T>());
        Self { storage, start, len }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        &self.storage[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Buffer<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Powers<'a, T>(&'a mut [T]);

    impl<T: Lane> WithSimd for Powers<'_, T> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            T::vectors_mut::<S>(self.0).iter_mut().for_each(|x| *x = T::exp2(simd, *x));
        }
    }

    #[test]
    fn powers_of_two_are_right_to_four_ulp() {
        let exponents: Vec<f32> = (0..150_000).map(|i| 25.0 - i as f32 * 1e-3).collect();
        let mut powers = exponents.clone();
        Arch::new().dispatch(Powers(&mut powers));
        for (x, found) in exponents.iter().zip(powers) {
            let exact = f64::from(*x).exp2();
            let error = (f64::from(found) - exact).abs() / exact;
            assert!(error < 4.0 * f64::from(f32::EPSILON), "2^{x} is off by {error}");
        }
        let exponents: Vec<f64> = (0..150_000).map(|i| 25.0 - f64::from(i) * 7e-3).collect();
        let mut powers = exponents.clone();
        Arch::new().dispatch(Powers(&mut powers));
        for (x, found) in exponents.iter().zip(powers).filter(|(x, _)| **x > -1020.0) {
            let exact = x.exp2();
            let error = (found - exact).abs() / exact;
            assert!(error < 4.0 * f64::EPSILON, "2^{x} is off by {error}");
        }
        let mut tiny = vec![-1e30_f64; 16];
        Arch::new().dispatch(Powers(&mut tiny));
        assert!(tiny.iter().all(|&power| (0.0..1e-300).contains(&power)), "{tiny:?}");
        let mut tiny = vec![-1e30_f32; 16];
        Arch::new().dispatch(Powers(&mut tiny));
        assert!(tiny.iter().all(|&power| (0.0..1e-37).contains(&power)), "{tiny:?}");
    }

    struct Whole<T>(std::marker::PhantomData<T>);

    impl<T: Lane> WithSimd for Whole<T> {
        type Output = ();

        fn with_simd<S: Simd>(self, _: S) {
            assert_eq!(size_of::<T::Vector<S>>(), T::n_lanes::<S>() * size_of::<T>());
            let values = vec![T::ZERO; 5 * T::n_lanes::<S>() + 1];
            assert_eq!(T::vectors::<S>(&values).len(), values.len() / T::n_lanes::<S>());
        }
    }

    #[test]
    fn a_vector_is_its_lanes_and_nothing_else() {
        Arch::new().dispatch(Whole::<f32>(std::marker::PhantomData));
        Arch::new().dispatch(Whole::<f64>(std::marker::PhantomData));
        Whole::<f32>(std::marker::PhantomData).with_simd(pulp::Scalar);
        Whole::<f64>(std::marker::PhantomData).with_simd(pulp::Scalar);
    }

    #[test]
    fn buffers_start_on_a_cache_line() {
        let buffer = Buffer::<f32>::zeros(100);
        assert_eq!(buffer.len(), 100);
        assert_eq!(buffer.as_ptr() as usize % 64, 0);
    }
}
