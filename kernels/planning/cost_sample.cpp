// Sampling: sample.cu.
#include "kernels/planning/cost.h"

namespace leon::cost {

void sample(Launches& l, const Machine&, const Draws& d, const SampleRule&) {
    Launch k;
    k.kernel = "sample_kernel";
    k.blocks = d.candidates();
    k.threads = 1024;
    k.input_bytes = k.load_bytes = bytes_of(d.logits);
    k.in_flight_bytes = 1024 * 16;
    k.barriers = 40 * k.blocks;
    k.trips = 4;
    l.push_back(k);
}

}  // namespace leon::cost
