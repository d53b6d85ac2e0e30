# The body of every kernel module: all kernels, and the table that lists them.
# A row: name, fields of the argument struct in its order ("pointers | integers | reals"),
# size of the struct, phases, bytes of scratch for each thread, bytes shared by all.

from cpython.pycapsule cimport PyCapsule_New
from libc.math cimport INFINITY, NAN, fma, sqrt
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastnet.native.abi cimport *

cdef extern from "vec.h" nogil:
    ctypedef float real
    ctypedef int32_t ireal
    ctypedef float vf
    ctypedef int32_t vi
    ctypedef uint32_t vu
    ctypedef int vm
    enum:
        IS_DOUBLE, MANTISSA_BITS, EXPONENT_BIAS, LANES, LANES32, EIGHT
        MR, MR_NARROW, NV, NR, KC, PACKED_BYTES, COPY_AHEAD, TOGETHER
    real REAL_MAX, REAL_MIN, REAL_EPSILON, ROUND
    ireal MANTISSA_MASK
    vf vload(const real* p)
    void vstore(real* p, vf v)
    vf vload_n(const real* p, Py_ssize_t n)
    vf vload_or(const real* p, Py_ssize_t n, real fill)
    void vstore_n(real* p, vf v, Py_ssize_t n)
    void vstore_end(real* p, vf v, Py_ssize_t n)
    void vstream(real* p, vf v)
    void vfence()
    vf vzero()
    vf vset(real x)
    vf vheld(vf v)
    vf vfirst(vf v, Py_ssize_t n)
    real vlane(vf v, int i)
    void prefetch(const void* p)
    void prefetch_l2(const void* p)
    vf vfma(vf a, vf b, vf c)
    vf vsqrt(vf a)
    vf vroot(vf x)
    vf vmax(vf a, vf b)
    vf vmin(vf a, vf b)
    vf vabs(vf a)
    vf vneg(vf a)
    vf vor_bits(vf a, vf b)
    vf vcopysign(vf a, vf s)
    vm vgt(vf a, vf b)
    vm vge(vf a, vf b)
    vm vlt(vf a, vf b)
    vm vle(vf a, vf b)
    vm veq(vf a, vf b)
    vm vor(vm a, vm b)
    vm vand(vm a, vm b)
    vm vnot(vm a)
    vm visnan(vf a)
    vf vselect(vm m, vf a, vf b)
    int vany(vm m)
    int vcount(vm m)
    vf vsum_lanes(vf v)
    vf vmax_lanes(vf v)
    real vsum(vf v)
    real vgreatest(vf v)
    void vtranspose(vf* r)
    vf vpermute(vf v, vi order)
    vi vbits(vf a)
    vf vfrombits(vi a)
    vi visplat(ireal x)
    vi vshift_left(vi a, int n)
    vi vshift_right(vi a, int n)
    vi viand(vi a, vi b)
    vi vior(vi a, vi b)
    vi vixor(vi a, vi b)
    vm vieq(vi a, vi b)
    vi viload_bytes(const uint8_t* p, Py_ssize_t n)
    void vistore_bytes(uint8_t* p, vi v, Py_ssize_t n)
    vi viload_ints(const int32_t* p, Py_ssize_t n)
    void vistore_ints(int32_t* p, vi v, Py_ssize_t n)
    vf vscale(vf p, vf t)
    vf vproduct_error(vf a, vf b, vf p)
    vu vuset(uint32_t x)
    vu vurotate(vu a, int n)
    vu vuxor(vu a, vu b)
    vu vuiota()
    void vustore(uint32_t* p, vu a)
    vf vload_upto(const real* p, Py_ssize_t n)
    void vstore_upto(real* p, vf v, Py_ssize_t n)
    ctypedef double vd
    enum:
        WIDE, LANES64
    vd vwiden(vf v, int h)
    vd vdset(double x)
    vd vdabs(vd v)
    double vdsum(vd v)
    float fn_from_half(uint16_t h)
    vu vuload(const uint32_t* p)
    vf vukeep(const uint32_t* words, uint32_t threshold, vf scale)
    double dproduct(double a, double b)
    vd vdproduct(vd a, vd b)
    vd vdload(const double* p)
    void vdstore(double* p, vd v)
    vf vsum_each(vf* r)
    vf vmax_each(vf* r)

cdef extern from *:
    """
    #define FN_DTYPE (FN_DOUBLE ? "float64" : "float32")
    """
    const char* FN_BUILD_ID
    const char* FN_TARGET
    const char* FN_DTYPE

include "kernels/elements.pxi"
include "kernels/math.pxi"
include "kernels/activation.pxi"
include "kernels/softmax.pxi"
include "kernels/elementary.pxi"
include "kernels/norm.pxi"
include "kernels/batch_statistics.pxi"
include "kernels/gemm_strip.pxi"
include "kernels/gemm.pxi"
include "kernels/conv.pxi"
include "kernels/conv_direct_windows.pxi"
include "kernels/conv_direct.pxi"
include "kernels/conv_direct_patches.pxi"
include "kernels/conv_winograd_transform.pxi"
include "kernels/conv_winograd_tiles.pxi"
include "kernels/conv_winograd.pxi"
include "kernels/conv_winograd_filters.pxi"
include "kernels/conv_winograd_weights.pxi"
include "kernels/conv_direct_weights.pxi"
include "kernels/conv_depthwise.pxi"
include "kernels/conv_depthwise_weights.pxi"
include "kernels/update.pxi"
include "kernels/update_momentum.pxi"
include "kernels/update_squares.pxi"
include "kernels/update_adam.pxi"
include "kernels/step.pxi"
include "kernels/gradient.pxi"
include "kernels/penalty.pxi"
include "kernels/constraint.pxi"
include "kernels/join_batches.pxi"
include "kernels/average.pxi"
include "kernels/statistics.pxi"
include "kernels/gather.pxi"
include "kernels/metric.pxi"
include "kernels/random.pxi"
include "kernels/distributions.pxi"
include "kernels/orthogonal.pxi"
include "kernels/augment.pxi"
include "kernels/mixup.pxi"
include "kernels/elementwise.pxi"
include "kernels/update_muon.pxi"
include "kernels/batch_norm.pxi"
include "kernels/batch_norm_backward.pxi"
include "kernels/batch_norm_fold.pxi"
include "kernels/layer_norm.pxi"
include "kernels/group_norm.pxi"
include "kernels/rms_norm.pxi"
include "kernels/prelu.pxi"
include "kernels/multiply_rows.pxi"
include "kernels/pool.pxi"
include "kernels/pool_backward.pxi"
include "kernels/resample.pxi"
include "kernels/probe.pxi"
include "kernels/loss.pxi"
include "kernels/loss_elementwise.pxi"

cdef enum:
    MAX_ROWS = 128

cdef KernelRow rows[MAX_ROWS]
cdef KernelTable table


cdef void add(const char* name, const char* fields, Py_ssize_t size, Phase first, Phase second=NULL, Phase third=NULL,
              Bytes scratch=NULL, Bytes shared=NULL) noexcept:
    cdef KernelRow* row = &rows[table.n_rows]
    row.name = name
    row.fields = fields
    row.size = size
    row.phases[0] = first
    row.phases[1] = second
    row.phases[2] = third
    row.scratch = scratch
    row.shared = shared
    table.n_rows += 1


add("gemm",
    "a b c bias gate column_sums statistics statistics_x statistics_mean control scratch shared"
    " | M N K lda ldb ldc ldgate trans_a trans_b parts activation gate_activation accumulate accumulate_sums scratch_stride"
    " | alpha gate_alpha",
    sizeof(GemmArgs), gemm, gemm_join, NULL, gemm_scratch, gemm_shared)

add("conv_direct",
    "x w bias added gate y statistics statistics_x statistics_mean scratch shared"
    " | N H W C P Q K R S sh sw eh ew ph pw G parts activation gate_activation scratch_stride | alpha gate_alpha",
    sizeof(ConvArgs), conv_direct_pack, conv_direct, NULL, conv_direct_scratch, conv_direct_shared)
add("conv_direct_data",
    "dy w bias added gate dx statistics statistics_x statistics_mean scratch shared"
    " | N H W C P Q K R S sh sw eh ew ph pw G parts activation gate_activation scratch_stride | alpha gate_alpha",
    sizeof(ConvArgs), conv_direct_data_pack, conv_direct_data, NULL, conv_direct_data_scratch, conv_direct_data_shared)
add("conv_direct_weights",
    "x dy dw dbias control scratch shared"
    " | N H W C P Q K R S sh sw eh ew ph pw G accumulate accumulate_bias scratch_stride |",
    sizeof(ConvWeightsArgs), conv_direct_weights, conv_direct_weights_end, NULL,
    conv_direct_weights_scratch, conv_direct_weights_shared)
add("conv_winograd",
    "x w bias added gate y statistics statistics_x statistics_mean scratch shared"
    " | N H W C P Q K R ph pw m parts activation gate_activation scratch_stride | alpha gate_alpha",
    sizeof(ConvWinogradArgs), conv_winograd_begin, conv_winograd, NULL, conv_winograd_scratch, conv_winograd_shared)
add("conv_winograd_data",
    "dy w bias added gate dx statistics statistics_x statistics_mean scratch shared"
    " | N P Q K H W C R ph pw m parts activation gate_activation scratch_stride | alpha gate_alpha",
    sizeof(ConvWinogradArgs), conv_winograd_data_begin, conv_winograd_data, NULL, conv_winograd_scratch, conv_winograd_shared)
add("conv_winograd_weights",
    "x dy dw dbias control scratch shared | N H W C P Q K R ph pw m accumulate accumulate_bias scratch_stride |",
    sizeof(ConvWinogradWeightsArgs), conv_winograd_weights, conv_winograd_weights_end, NULL,
    conv_winograd_weights_scratch, conv_winograd_weights_shared)
add("depthwise",
    "x w bias added gate y statistics statistics_x statistics_mean scratch shared"
    " | N H W C P Q K R S sh sw eh ew ph pw G parts activation gate_activation scratch_stride | alpha gate_alpha",
    sizeof(ConvArgs), depthwise, NULL, NULL, depthwise_scratch)
add("depthwise_data",
    "dy w bias added gate dx statistics statistics_x statistics_mean scratch shared"
    " | N H W C P Q K R S sh sw eh ew ph pw G parts activation gate_activation scratch_stride | alpha gate_alpha",
    sizeof(ConvArgs), depthwise_data, NULL, NULL, depthwise_data_scratch)
add("depthwise_weights",
    "x dy dw dbias control scratch shared"
    " | N H W C P Q K R S sh sw eh ew ph pw G accumulate accumulate_bias scratch_stride |",
    sizeof(ConvWeightsArgs), depthwise_weights, depthwise_weights_end, NULL, depthwise_weights_scratch, depthwise_weights_shared)

add("activation", "x y slope | n kind | alpha", sizeof(ActivationArgs), activation)
add("activation_backward", "saved dy dx | n kind | alpha", sizeof(ActivationBackwardArgs), activation_backward)
add("prelu", "x slope y | rows channels single |", sizeof(PreluArgs), prelu)
add("prelu_backward", "x slope dy dx dslope shared | rows channels single accumulate |",
    sizeof(PreluBackwardArgs), prelu_backward, prelu_backward_join, NULL, NULL, prelu_backward_shared)
add("softmax", "x y | rows cols |", sizeof(RowwiseArgs), softmax)
add("log_softmax", "x y | rows cols |", sizeof(RowwiseArgs), log_softmax)
add("softmax_backward", "y dy dx | rows cols |", sizeof(RowwiseBackwardArgs), softmax_backward)
add("log_softmax_backward", "y dy dx | rows cols |", sizeof(RowwiseBackwardArgs), log_softmax_backward)
add("elementary", "x y | n function |", sizeof(ElementaryArgs), elementary)

add("sgd_update", "w g b ranges control | n_ranges nesterov | momentum", sizeof(SgdArgs), sgd_update)
add("lion_update", "w g m ranges control | n_ranges | beta_1 beta_2", sizeof(LionArgs), lion_update)
add("rmsprop_update", "w g v b a ranges control | n_ranges | rho epsilon momentum", sizeof(RmspropArgs), rmsprop_update)
add("adagrad_update", "w g s ranges control | n_ranges | learning_rate_decay epsilon", sizeof(AdagradArgs), adagrad_update)
add("adadelta_update", "w g v d ranges control | n_ranges | rho epsilon", sizeof(AdadeltaArgs), adadelta_update)
add("adam_update", "w g m v v_max ranges control | n_ranges epsilon_hat | beta_1 beta_2 epsilon",
    sizeof(AdamArgs), adam_update)
add("nadam_update", "w g m v c ranges control | n_ranges | beta_1 beta_2 epsilon momentum_base",
    sizeof(NadamArgs), nadam_update, nadam_end)
add("radam_update", "w g m v ranges control | n_ranges | beta_1 beta_2 epsilon", sizeof(RadamArgs), radam_update)
add("adamax_update", "w g m u ranges control | n_ranges | beta_1 beta_2 epsilon", sizeof(AdamaxArgs), adamax_update)
add("muon_begin", "g b x range control shared | n nesterov | momentum factor epsilon",
    sizeof(MuonBeginArgs), muon_begin, muon_normalize, NULL, NULL, muon_begin_shared)
add("update_product",
    "start a b c bias gate column_sums statistics statistics_x statistics_mean control scratch shared"
    " | M N K lda ldb ldc ldgate trans_a trans_b parts activation gate_activation accumulate accumulate_sums scratch_stride"
    " | alpha gate_alpha start_factor",
    sizeof(UpdateProductArgs), update_product_start, update_product, update_product_join,
    update_product_scratch, update_product_shared)
add("muon_end", "w x range control | | factor", sizeof(MuonEndArgs), muon_end)
add("squares", "g ranges partials | n_ranges |", sizeof(SquaresArgs), squares)
add("clip", "partials ranges control | n_ranges each | clip_norm", sizeof(ClipArgs), clip)
add("check_finite", "x control | n code |", sizeof(CheckFiniteArgs), check_finite)
add("penalty", "w g control shared | n per_sample | l1 l2", sizeof(PenaltyArgs), penalty, penalty_end, NULL, NULL, penalty_shared)
add("constrain", "w control | rows columns kind | limit", sizeof(ConstrainArgs), constrain)
add("join_batches", "g sum ranges control | n_ranges every batch |", sizeof(JoinBatchesArgs), join_batches)
add("wait", "control | every batch |", sizeof(WaitArgs), wait)
add("resume", "control | every batch |", sizeof(WaitArgs), resume)
add("average", "w a count control | n | decay", sizeof(AverageArgs), average, average_end)
add("statistics", "x y result shared | n |", sizeof(StatisticsArgs), statistics, statistics_histograms, statistics_end, NULL,
    statistics_shared)
add("unit_activity", "y active saturated | rows columns | floor low high", sizeof(UnitActivityArgs), unit_activity)
add("agreement", "x y result shared | n |", sizeof(AgreementArgs), agreement, agreement_end, NULL, NULL, agreement_shared)
add("step_begin", "learning_rates ranges control | n_ranges n_groups |", sizeof(StepBeginArgs), step_begin)
add("step_end", "control | batch |", sizeof(StepEndArgs), step_end)
add("check_result", "result control | |", sizeof(CheckResultArgs), check_result)
add("gather", "source order y control | rows width stride kind check start | scale", sizeof(GatherArgs), gather)
add("gather_labels", "source order y control | rows stride kind classes start |", sizeof(GatherLabelsArgs), gather_labels)
add("gather_images",
    "source order crops flips brightness contrast cutouts y control scratch"
    " | rows height width channels stride kind check start pad_y pad_x reflect flip_x flip_y cut_y cut_x scratch_stride"
    " | scale brighter sharper fill",
    sizeof(GatherImagesArgs), gather_images, NULL, NULL, gather_images_scratch)
add("mix_rows", "x partners share y | rows width |", sizeof(MixRowsArgs), mix_rows)
add("mix_labels", "labels partners share y | rows classes |", sizeof(MixLabelsArgs), mix_labels)
add("count_correct", "prediction labels targets weights sums control | rows classes top_k kind |",
    sizeof(CountCorrectArgs), count_correct)
add("regression_sums", "prediction targets weights sums control | rows cols kind |",
    sizeof(RegressionSumsArgs), regression_sums)
add("add_result", "result totals control | |", sizeof(AddResultArgs), add_result)
add("softmax_cross_entropy", "logits labels targets weights dlogits partials result control | rows classes | smoothing",
    sizeof(SoftmaxArgs), softmax_begin, softmax_rows, softmax_end)
add("sigmoid_cross_entropy", "logits targets weights dlogits partials result control | rows cols | smoothing",
    sizeof(SigmoidArgs), sigmoid_begin, sigmoid_rows, sigmoid_end)
add("regression_loss", "prediction targets weights dprediction partials result control | rows cols kind | delta",
    sizeof(RegressionArgs), regression_begin, regression_rows, regression_end)

add("random_bits", "y control | n key_0 key_1 count |", sizeof(RandomBitsArgs), random_bits)
add("random_uniform", "y | n key_0 key_1 count | low high", sizeof(RandomUniformArgs), random_uniform)
add("random_normal", "y | n key_0 key_1 count | mean std", sizeof(RandomNormalArgs), random_normal)
add("random_truncated_normal", "y | n key_0 key_1 count | mean std low high",
    sizeof(RandomTruncatedNormalArgs), random_truncated_normal)
add("random_beta", "y control | n key_0 key_1 count | alpha", sizeof(RandomBetaArgs), random_beta)
add("orthogonalize", "a shared | rows cols |", sizeof(OrthogonalizeArgs), orthogonalize_factor, orthogonalize_form, NULL,
    NULL, orthogonalize_shared)
add("shuffle", "order control | n key_0 key_1 count |", sizeof(ShuffleArgs), shuffle)
add("dropout", "x y control | n key_0 key_1 | rate", sizeof(DropoutArgs), dropout)
add("spatial_dropout", "x y control | batch rows channels key_0 key_1 | rate", sizeof(SpatialDropoutArgs), spatial_dropout)

add("add", "a b gate y | n activation gate_activation | alpha gate_alpha", sizeof(AddArgs), add_arrays)
add("multiply", "a b y | n |", sizeof(MultiplyArgs), multiply_arrays)
add("multiply_rows", "x w y | batch rows channels |", sizeof(MultiplyRowsArgs), multiply_rows)
add("multiply_rows_backward", "x w dy dx dw | batch rows channels |", sizeof(MultiplyRowsBackwardArgs), multiply_rows_backward)
add("accumulate", "x y | n |", sizeof(AccumulateArgs), accumulate_array)
add("scale", "x y | n | factor", sizeof(ScaleArgs), scale_array)
add("fill", "y | n | value", sizeof(FillArgs), fill_array)
add("copy_2d", "x y | rows cols ldx ldy |", sizeof(Copy2dArgs), copy_2d)

add("batch_norm_forward",
    "x gamma beta added statistics y mean inverse_std unbiased_variance shared | rows channels parts activation | epsilon alpha",
    sizeof(BatchNormForwardArgs), batch_norm_statistics, batch_norm_join, batch_norm_normalize,
    NULL, batch_norm_forward_shared)
add("batch_norm_inference", "x gamma beta running_mean running_var added y | rows channels activation | epsilon alpha",
    sizeof(BatchNormInferenceArgs), batch_norm_inference)
add("batch_norm_backward",
    "x dy gamma mean inverse_std statistics dx dgamma dbeta shared | rows channels parts accumulate_gamma accumulate_beta |",
    sizeof(BatchNormBackwardArgs), batch_norm_backward_sums, batch_norm_backward_join, batch_norm_backward_dx,
    NULL, batch_norm_backward_shared)
add("batch_norm_inference_backward",
    "dy gamma running_var x running_mean dx dgamma dbeta shared"
    " | rows channels accumulate_gamma accumulate_beta | epsilon",
    sizeof(BatchNormInferenceBackwardArgs), batch_norm_inference_backward_sums, batch_norm_inference_backward_join, NULL,
    NULL, batch_norm_inference_backward_shared)
add("batch_norm_fold", "w bias gamma beta running_mean running_var folded_w folded_bias | rows channels | epsilon",
    sizeof(BatchNormFoldArgs), batch_norm_fold)
add("batch_norm_commit", "mean unbiased_variance running_mean running_var control | channels | momentum",
    sizeof(BatchNormCommitArgs), batch_norm_commit)
add("layer_norm_forward", "x gamma beta y mean inverse_std | rows cols | epsilon",
    sizeof(LayerNormForwardArgs), layer_norm_forward)
add("layer_norm_backward",
    "x dy gamma mean inverse_std dx dgamma dbeta shared | rows cols accumulate_gamma accumulate_beta |",
    sizeof(LayerNormBackwardArgs), layer_norm_backward_rows, layer_norm_backward_join, NULL,
    NULL, layer_norm_backward_shared)
add("group_norm_forward", "x gamma beta y mean inverse_std scratch | batch rows channels groups scratch_stride | epsilon",
    sizeof(GroupNormForwardArgs), group_norm_forward, NULL, NULL, group_norm_forward_scratch)
add("group_norm_backward",
    "x dy gamma mean inverse_std dx dgamma dbeta scratch shared"
    " | batch rows channels groups accumulate_gamma accumulate_beta scratch_stride |",
    sizeof(GroupNormBackwardArgs), group_norm_backward, group_norm_backward_join, NULL,
    group_norm_backward_scratch, group_norm_backward_shared)
add("rms_norm_forward", "x gamma y inverse_rms | rows cols | epsilon", sizeof(RmsNormForwardArgs), rms_norm_forward)
add("rms_norm_backward", "x dy gamma inverse_rms dx dgamma shared | rows cols accumulate_gamma |",
    sizeof(RmsNormBackwardArgs), rms_norm_backward_rows, rms_norm_backward_join, NULL, NULL, rms_norm_backward_shared)

add("max_pool", "x y argmax | N H W C P Q R S sh sw ph pw wide |", sizeof(MaxPoolArgs), max_pool)
add("max_pool_backward", "dy argmax dx | N H W C P Q R S sh sw ph pw wide |",
    sizeof(MaxPoolBackwardArgs), max_pool_backward)
add("average_pool", "x y | N H W C P Q R S sh sw ph pw HP WP divisor |", sizeof(AveragePoolArgs), average_pool)
add("average_pool_backward", "dy dx | N H W C P Q R S sh sw ph pw HP WP divisor |",
    sizeof(AveragePoolBackwardArgs), average_pool_backward)
add("upsample_linear", "x y | N H W C fh fw |", sizeof(UpsampleArgs), upsample_linear)
add("upsample_linear_backward", "dy dx | N H W C fh fw |", sizeof(UpsampleBackwardArgs), upsample_linear_backward)
add("zero_pad", "x y | N H W C top bottom left right |", sizeof(PadArgs), zero_pad)
add("crop", "x y | N H W C top bottom left right |", sizeof(PadArgs), crop)
add("reflect_pad", "x y | N H W C top bottom left right |", sizeof(PadArgs), reflect_pad)
add("reflect_pad_backward", "dy dx | N H W C top bottom left right |", sizeof(PadBackwardArgs), reflect_pad_backward)

add("probe_fma", "y | n |", sizeof(ProbeFmaArgs), probe_fma)
add("probe_stream", "w g m v | n |", sizeof(ProbeStreamArgs), probe_stream)

table.abi_version = ABI_VERSION
table.size = sizeof(KernelTable)
table.build_id = FN_BUILD_ID
table.target = FN_TARGET
table.dtype = FN_DTYPE
table.lanes = LANES
table.rows = rows

TABLE = PyCapsule_New(&table, "fastnet.kernel_table", NULL)
