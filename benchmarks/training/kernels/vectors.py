"""Vector registers as values in kernels: loaded, multiplied, added up and stored by name.

The compiler makes vectors of a loop by itself, but it keeps no block of results in registers over an outer loop: it
loads and stores them for every few multiplications, and loops over taps and channels then run at half the speed of the
arithmetic. With vectors as values a kernel says what stays in registers, and reaches 90 % of it.

A `Vector` fills one register, a wide one `WIDE` of them, side by side: 16 and 64 of float32 with AVX-512. Each value is
computed as if alone, in the order that the kernel writes down, so bits do not depend on these widths; those of `totals`
do. Indices are not checked.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.core.datamodel import models

_FEATURES = llvm.get_host_cpu_features()
BYTES = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx2") else 16
"""Of a register."""
WIDE = 2 if BYTES == 32 else 4
"""Registers of a wide vector: four sums and a factor fill most of the 32 registers, or of the 16 that AVX2 has."""
FUSED = ("contract",)  # a product and a sum may be one instruction, as in `jit.EACH`
INT32 = ir.IntType(32)


def intrinsic(function: Callable) -> Any:
    """A function for kernels, by one that returns its signature and what writes its instructions."""
    return extending.intrinsic(function)


class Vector(types.Type):
    """Numbers of one type in one or more registers."""

    def __init__(self, number: Any, registers: int) -> None:
        self.number, self.registers = number, registers
        super().__init__(name=f"Vector({number}, {registers} x {BYTES} bytes)")

    @property
    def ir(self) -> ir.VectorType:
        """LLVM's type."""
        number = ir.FloatType() if self.number == types.float32 else ir.DoubleType()
        return ir.VectorType(number, self.registers * BYTES * 8 // self.number.bitwidth)


@extending.register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, kind.ir)


def _address(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def _pointer(builder: Any, address: Any, vector: Vector) -> Any:
    return builder.bitcast(address, vector.ir.as_pointer())


def _some(builder: Any, vector: Vector, count: Any) -> Any:
    """A mask of the first `count` places."""
    places = ir.VectorType(INT32, vector.ir.count)
    limit = builder.insert_element(ir.Constant(places, ir.Undefined), builder.trunc(count, INT32), INT32(0))
    limits = builder.shuffle_vector(limit, ir.Constant(places, ir.Undefined), ir.Constant(places, None))
    return builder.icmp_signed("<", ir.Constant(places, list(range(places.count))), limits)


def _masked(builder: Any, name: str, result: Any, arguments: list) -> Any:
    """Call one of LLVM's masked operations."""
    vector = arguments[0].type if isinstance(result, ir.VoidType) else result
    kind = "f32" if isinstance(vector.element, ir.FloatType) else "f64"
    function_type = ir.FunctionType(result, [each.type for each in arguments])
    full = f"llvm.masked.{name}.v{vector.count}{kind}.p0"
    function = builder.module.globals.get(full) or ir.Function(builder.module, function_type, full)
    return builder.call(function, arguments)


def _loading(registers: int) -> Any:
    @intrinsic
    def loaded(typing: Any, array: Any, index: Any) -> Any:
        """The values of a contiguous row from `index` on."""
        vector = Vector(array.dtype, registers)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address = _address(context, builder, signature.args[0], *arguments)
            return builder.load(_pointer(builder, address, vector), align=vector.number.bitwidth // 8)

        return vector(array, types.intp), generate

    return loaded


def _loading_some(registers: int) -> Any:
    @intrinsic
    def loaded(typing: Any, array: Any, index: Any, count: Any) -> Any:
        """The first `count` values of a contiguous row from `index` on, and then zeros."""
        vector = Vector(array.dtype, registers)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            *where, count = arguments
            pointer = _pointer(builder, _address(context, builder, signature.args[0], *where), vector)
            align, zeros = INT32(vector.number.bitwidth // 8), ir.Constant(vector.ir, None)
            return _masked(builder, "load", vector.ir, [pointer, align, _some(builder, vector, count), zeros])

        return vector(array, types.intp, types.intp), generate

    return loaded


load, load_wide, load_some, load_some_wide = _loading(1), _loading(WIDE), _loading_some(1), _loading_some(WIDE)


@intrinsic
def store(typing: Any, vector: Any, array: Any, index: Any) -> Any:
    """Write a vector to a contiguous row from `index` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, *where = arguments
        pointer = _pointer(builder, _address(context, builder, signature.args[1], *where), vector)
        builder.store(value, pointer, align=vector.number.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(vector, array, types.intp), generate


@intrinsic
def store_some(typing: Any, vector: Any, array: Any, index: Any, count: Any) -> Any:
    """Write the first `count` values of a vector to a contiguous row from `index` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, *where, count = arguments
        pointer = _pointer(builder, _address(context, builder, signature.args[1], *where), vector)
        mask, align = _some(builder, vector, count), INT32(vector.number.bitwidth // 8)
        _masked(builder, "store", ir.VoidType(), [value, pointer, align, mask])
        return context.get_dummy_value()

    return types.none(vector, array, types.intp, types.intp), generate


@intrinsic
def width(typing: Any, vector: Any) -> Any:
    """How many values a vector has."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.intp, vector.ir.count)

    return types.intp(vector), generate


def _all_places(builder: Any, value: Any, vector: Vector) -> Any:
    one = builder.insert_element(ir.Constant(vector.ir, ir.Undefined), value, INT32(0))
    first = ir.Constant(ir.VectorType(INT32, vector.ir.count), None)
    return builder.shuffle_vector(one, ir.Constant(vector.ir, ir.Undefined), first)


def _spreading(registers: int) -> Any:
    @intrinsic
    def spread(typing: Any, value: Any) -> Any:
        """A vector of one value in all places."""
        vector = Vector(value, registers)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _all_places(builder, arguments[0], vector)

        return vector(value), generate

    return spread


spread, spread_wide = _spreading(1), _spreading(WIDE)


@intrinsic
def times_plus(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c in each place; b is a vector or a number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, second, third = arguments
        factor = second if isinstance(b, Vector) else _all_places(builder, second, a)
        return builder.fadd(builder.fmul(first, factor, FUSED), third, FUSED)

    return a(a, b, c), generate


def _halved(builder: Any, a: Any, b: Any, length: int) -> Any:
    """Vectors of segments of a length, side by side, with the second half of each segment added to its first."""
    count, half = a.type.count + (0 if b is None else a.type.count), length // 2
    places = [k for k in range(count) if k % length < half]
    other = ir.Constant(a.type, ir.Undefined) if b is None else b
    masks = (ir.Constant(ir.VectorType(INT32, len(places)), [k + shift for k in places]) for shift in (0, half))
    return builder.fadd(*(builder.shuffle_vector(a, other, mask) for mask in masks))


@intrinsic
def totals(typing: Any, vectors: Any) -> Any:
    """The sum over all places of each of four vectors, by halves and all four at once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b, c, d = cgutils.unpack_tuple(builder, arguments[0])
        length, every = a.type.count, ir.VectorType(INT32, 4)
        first, second = _halved(builder, a, b, length), _halved(builder, c, d, length)
        length //= 2
        if length == 1:
            all_four = builder.shuffle_vector(first, second, ir.Constant(every, [0, 1, 2, 3]))
        else:
            all_four = _halved(builder, first, second, length)
            length //= 2
        while length > 1:
            all_four = _halved(builder, all_four, None, length)
            length //= 2
        return context.make_tuple(
            builder, signature.return_type, [builder.extract_element(all_four, INT32(k)) for k in range(4)]
        )

    return types.UniTuple(vectors.dtype.number, 4)(vectors), generate
