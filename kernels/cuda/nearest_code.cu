// nearest_code: codes[i] = argmin_n |z[i] - codebook[n]|^2, the first of equals, exactly, at the speed of a product.
//
//   1. |e|^2 / 2 of every code, and the longest |e| of every GROUP of codes
//   2. z . e on tensor cores (convolution.h: a 1x1 convolution whose weights are the codebook); the least
//      |e|^2 / 2 - z . e of each group, which orders codes like the distance does, up to rounding
//   3. a warp for each pixel: the groups that may hold the nearest code, rounding considered, are measured once more, a
//      lane for each code, in double and in the order of the channels: equal codes tie, and the first one wins
//
// Bound by the arithmetic of 2: three tf32 products for each multiply-add. 3 looks at one group in the mean.
#include "kernels/cuda/convolution.h"
#include "kernels/cuda/launchers.h"
#include "kernels/cuda/reduce.h"

namespace leon::LEON_CUDA {
namespace {

using Tile = WindowTile;
constexpr int GROUP = Tile::N * 8;  // codes whose scores one warp has in registers
static_assert(GROUP == WARP);       // a lane for each in step 3
constexpr int WARPS = 4;

// Rounding of a score, as a part of |z||e| + |e|^2 / 2: 3 width sums of 2^-23 each and the bits of a product that three
// tf32 products do not see (3 * 2^-20); 8 more for the norms.
__device__ __forceinline__ float score_error(float z_norm, float e_norm, int width) {
    return static_cast<float>(3 * width + 32) * 0x1p-23f * (z_norm * e_norm + 0.5f * e_norm * e_norm);
}

__global__ void __launch_bounds__(WARPS* WARP) code_norms_kernel(float* half_squares,    // [codes]
                                                                 float* longest,         // [groups]
                                                                 const float* codebook,  // [codes, width]
                                                                 int codes, int width) {
    const int group = static_cast<int>(blockIdx.x) * WARPS + static_cast<int>(threadIdx.x) / WARP;
    const int lane = static_cast<int>(threadIdx.x) % WARP;
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    if (group * GROUP >= codes) return;
    float most = 0;
    for (int code = group * GROUP; code < min(codes, (group + 1) * GROUP); code++) {
        float squares = 0;
        for (int i = lane; i < width; i += WARP) {
            const float e = codebook[static_cast<int64_t>(code) * width + i];
            squares = fmaf(e, e, squares);
        }
        squares = warp_sum(squares);
        most = fmaxf(most, squares);  // passes over NaN: such a code is never the nearest
        if (lane == 0) half_squares[code] = 0.5f * squares;
    }
    if (lane == 0) longest[group] = sqrtf(most);
}

__global__ void __launch_bounds__(CONV_THREADS, Tile::RESIDENT)
    least_scores_kernel(float* least,               // [pixels, groups]
                        const float* z,             // [pixels, width]
                        const float* codebook,      // [codes, width]
                        const float* half_squares,  // [codes]
                        ConvGeometry g, int groups) {
    DYNAMIC_SHARED(char, shared);
    float sums[Tile::M][Tile::N][4] = {};
    convolve<ProductsF32, Tile, WindowSource>(sums, shared, z, codebook, ChannelNorm{}, g);

    const int lane = static_cast<int>(threadIdx.x) % WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    const TilePlace at = tile_place<Tile>(g);
    const int first = at.column + warp % Tile::WARPS_ACROSS * GROUP;
    if (first >= g.out_channels) return;
#pragma unroll
    for (int m = 0; m < Tile::M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float best = INFINITY;
#pragma unroll
            for (int n = 0; n < Tile::N; n++)
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    const int code = first + 8 * n + lane % 4 * 2 + i;
                    if (code < g.out_channels) best = fminf(best, half_squares[code] - sums[m][n][2 * half + i]);
                }
            best = fminf(best, __shfl_xor_sync(~0u, best, 1));
            best = fminf(best, __shfl_xor_sync(~0u, best, 2));
            const int row = at.row + warp / Tile::WARPS_ACROSS * Tile::M + m, col = at.col + lane / 4 + 8 * half;
            if (lane % 4 == 0 && row < g.out_height && col < g.out_width)
                least[(static_cast<int64_t>(row) * g.out_width + col) * groups + first / GROUP] = best;
        }
}

__global__ void __launch_bounds__(WARPS* WARP)
    pick_code_kernel(int* codes,            // [pixels]
                     const float* least,    // [pixels, groups]
                     const float* longest,  // [groups]
                     const float* z, const float* codebook, int64_t pixels, int entries, int width, int groups) {
    const int64_t pixel = static_cast<int64_t>(blockIdx.x) * WARPS + threadIdx.x / WARP;
    const int lane = static_cast<int>(threadIdx.x) % WARP;
    grid_dependency_launch();
    grid_dependency_wait();  // orders what earlier kernels wrote before all that follows
    if (pixel >= pixels) return;
    z += pixel * width;
    least += pixel * groups;

    float squares = 0;
    for (int i = lane; i < width; i += WARP) squares = fmaf(z[i], z[i], squares);
    const float z_norm = sqrtf(warp_sum(squares));
    float limit = INFINITY;  // the nearest code's true score is no greater
    for (int group = lane; group < groups; group += WARP)
        limit = fminf(limit, least[group] + score_error(z_norm, longest[group], width));
    limit = -warp_max(-limit);

    double best = INFINITY;
    int best_code = entries;  // no code: loses every tie
    for (int first = 0; first < groups; first += WARP) {
        const int mine = first + lane;
        // The negation keeps what is NaN: numbers too large to tell.
        const bool near = mine < groups && !(least[mine] - score_error(z_norm, longest[mine], width) > limit);
        for (unsigned left = __ballot_sync(~0u, near); left != 0; left &= left - 1) {
            const int code = (first + __ffs(static_cast<int>(left)) - 1) * GROUP + lane;
            if (code >= entries) continue;
            const float* e = codebook + static_cast<int64_t>(code) * width;
            double distance = 0;
            for (int i = 0; i < width; i++) {
                const double apart = static_cast<double>(z[i]) - static_cast<double>(e[i]);
                distance += apart * apart;
            }
            if (distance < best) best = distance, best_code = code;
        }
    }
    for (int apart = WARP / 2; apart > 0; apart /= 2) {
        const double other = __shfl_xor_sync(~0u, best, apart);
        const int other_code = __shfl_xor_sync(~0u, best_code, apart);
        if (other < best || (other == best && other_code < best_code)) best = other, best_code = other_code;
    }
    if (lane == 0) codes[pixel] = best_code < entries ? best_code : 0;  // 0 if every distance is NaN
}

// `lines` lines of `across` pixels, all of whose groups' scores fit into the workspace.
struct Batch {
    int64_t first_pixel;
    int lines, across;
};

}  // namespace

void nearest_code(Tensor codes, Tensor z, Tensor codebook) {
    const int64_t pixels = z.rows();
    const int entries = static_cast<int>(codebook.rows()), width = static_cast<int>(z.cols());
    const int groups = static_cast<int>(divide_up(entries, GROUP));
    if (z.elements() == 0) return;
    float* half_squares = static_cast<float*>(workspace());
    float* longest = half_squares + entries;
    float* least = longest + groups;
    const int64_t room = static_cast<int64_t>(WORKSPACE_BYTES / sizeof(float)) - entries - groups;
    CHECK(room >= static_cast<int64_t>(groups) * TILE_WIDTH);
    const int64_t most_lines = room / groups / TILE_WIDTH;

    CUDA_CHECK(launch_dependent(code_norms_kernel, dim3(static_cast<unsigned>(divide_up(groups, WARPS))), WARPS * WARP,
                                0, half_squares, longest, codebook.f32(), entries, width));
    const auto search = [&](const Batch& batch) {
        const Tensor part(z.f32() + batch.first_pixel * width, DType::F32, {batch.lines, batch.across, width});
        const Tensor scores(nullptr, DType::F32, {batch.lines, batch.across, entries});
        const ConvGeometry g = conv_geometry<Tile>(scores, part, codebook,
                                                   {.kernel = 1, .pad_before = 0, .pad_after = 0}, Gather::Windows);
        const int64_t count = static_cast<int64_t>(batch.lines) * batch.across;
        CUDA_CHECK(launch_dependent(least_scores_kernel, conv_grid<Tile>(g), CONV_THREADS,
                                    conv_shared_bytes<ProductsF32, Tile>(g), least, part.f32(), codebook.f32(),
                                    half_squares, g, groups));
        CUDA_CHECK(launch_dependent(pick_code_kernel, dim3(static_cast<unsigned>(divide_up(count, WARPS))),
                                    WARPS * WARP, 0, codes.i32() + batch.first_pixel, least, longest, part.f32(),
                                    codebook.f32(), count, entries, width, groups));
    };
    const int64_t lines = pixels / TILE_WIDTH;
    for (int64_t line = 0; line < lines; line += most_lines)
        search({line * TILE_WIDTH, static_cast<int>(std::min(most_lines, lines - line)), TILE_WIDTH});
    if (pixels % TILE_WIDTH) search({lines * TILE_WIDTH, 1, static_cast<int>(pixels % TILE_WIDTH)});
}

}  // namespace leon::LEON_CUDA
