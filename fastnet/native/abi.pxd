# What a compiled kernel module and the rest of fastnet agree on.
#
# A kernel's arguments are one struct whose fields are all eight bytes wide, in
# this order: pointers, integers (Py_ssize_t), reals (double). A row names the
# fields, "x y | n | scale", so that Python can fill them by name and the plan
# can find the pointers among them.

ctypedef void (*Phase)(const void* args, int thread, int n_threads) noexcept nogil
ctypedef Py_ssize_t (*Bytes)(const void* args) noexcept nogil

cdef enum:
    ABI_VERSION = 1
    MAX_PHASES = 3

cdef struct KernelRow:
    const char* name
    const char* fields
    Py_ssize_t size             # of the struct, in bytes
    Phase phases[MAX_PHASES]    # NULL after the last; a barrier stands between two
    Bytes scratch               # bytes for each thread, or NULL; fields `scratch`, `scratch_stride`
    Bytes shared                # bytes for all of them, or NULL; field `shared`

cdef struct KernelTable:
    Py_ssize_t abi_version
    Py_ssize_t size             # of this struct
    const char* build_id
    const char* target
    const char* dtype
    Py_ssize_t lanes
    Py_ssize_t n_rows
    const KernelRow* rows

# The block that ops read and write from step to step. The plan's owner fills
# the first part before a run; `step_begin` and the ops keep the rest.
cdef struct Control:
    Py_ssize_t status           # 0: the step is good; otherwise a Status
    Py_ssize_t step             # updates done, this one included while it runs
    Py_ssize_t forward          # training forwards of the network, for its random streams
    Py_ssize_t cursor           # position in `order` of this batch's first sample
    Py_ssize_t run_step         # steps done in this run
    Py_ssize_t batches          # whose gradients have been gathered since the last update
    Py_ssize_t samples          # of this pass over the data: the batch that reaches them updates, too
    double gathered             # sum(w) of those batches
    double loss                 # of this batch: sum(w l) / sum(w)
    double weight               # of this batch: sum(w)
    double gradient_norm

cdef enum Status:
    GOOD = 0
    BAD_INPUT = 1               # NaN or Inf in the data
    BAD_LABEL = 2               # a label outside of the classes
    BAD_WEIGHT = 3              # sample weights whose sum is not positive
    BAD_LOSS = 4                # loss not finite
    BAD_GRADIENT = 5            # a gradient not finite
    WAITING = 6                 # a good batch whose gradients wait for others; until the update has been passed over
