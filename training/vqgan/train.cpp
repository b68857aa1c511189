// The loop: pictures by number, two lanes, one update; every so often a score and a checkpoint. See train.h.
#include "training/vqgan/train.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "kernels/cpu/threads.h"
#include "runtime/files.h"
#include "runtime/format.h"
#include "tasks/common.h"
#include "training/adamw.h"
#include "training/checkpoint.h"
#include "training/draws.h"
#include "training/training_log.h"
#include "training/vqgan/model_file.h"
#include "training/vqgan/score.h"

namespace leon {
namespace {

// Lanes sum gradients of their own, in the order of their pictures; their number is fixed, so that sums do not depend
// on the number of threads.
constexpr int LANES = 2;
constexpr const char* KIND = "vqgan";

struct ScoreOfKind {
    PictureKind kind;
    VqganScore score;
};

// One lane's memory and what it gathers in a step.
struct Lane {
    VqganLane vqgan;
    std::vector<float> gradient, dpicture, dlatent, weights;

    Lane(const VqganNetwork& network, int side)
        : vqgan(network),
          gradient(static_cast<size_t>(network.parameters())),
          dpicture(static_cast<size_t>(side * side * 3)),
          weights(static_cast<size_t>(side * side)) {}
};

class Training {
public:
    Training(const VqganRecipe& recipe, const VqganRun& run)
        : recipe_(recipe),
          run_(run),
          file_(recipe.from),
          config_(parse_config(file_.config_json(), recipe.from)),
          network_(vqgan_of(config_, recipe.from), cpu_vqgan_grad_kernels(), cpu_kernels()),

          checkpoint_path_(run.folder + "/checkpoint.safetensors") {
        if (config_.vqgan.resolution != SCENE_SIZE && SCENE_SIZE % config_.vqgan.patch() != 0)
            throw Error("pictures of the storybook world do not divide into its codes", recipe.from);
        begin();
        for (int i = 0; i < LANES; i++) lanes_.push_back(std::make_unique<Lane>(network_, SCENE_SIZE));
        const VqganConfig& c = network_.config();
        const size_t cells = static_cast<size_t>(SCENE_SIZE / c.patch()) * static_cast<size_t>(SCENE_SIZE / c.patch());
        latents_.resize(static_cast<size_t>(recipe.batch) * cells * static_cast<size_t>(c.code_dim));
        codes_.resize(static_cast<size_t>(recipe.batch) * cells);
        network_.pack(values_.data());
        log_ = std::make_unique<TrainingLog>(run.folder + "/log.csv", columns(), step_ - 1);
    }

    int64_t go() {
        const int last = run_.stop_after > 0 ? std::min(recipe_.steps, run_.stop_after) : recipe_.steps;
        double checkpointed = now(), reported = checkpointed;
        int64_t reported_step = step_;
        if (step_ == 0) evaluate();
        bool stopped = false;
        while (step_ < last && !stopped) {
            train_step();
            step_++;
            stopped = run_.is_stopped();
            const bool evaluated = step_ % recipe_.evaluate_every == 0 || step_ == last;
            const double at = now();
            if (evaluated || at - reported > 20) {
                report(static_cast<double>(step_ - reported_step) * recipe_.batch / (at - reported));
                reported = at, reported_step = step_;
            }
            if (evaluated) {
                evaluate();
                reported = now();
            }
            log_line();
            if (step_ == last || stopped || now() - checkpointed > recipe_.checkpoint_minutes * 60) {
                save();
                checkpointed = now();
            }
        }
        return step_;
    }

private:
    static VqganConfig vqgan_of(const ModelConfig& config, const std::string& where) {
        if (!config.has_vqgan) throw Error("the model has no VQGAN to train", where);
        return config.vqgan;
    }

    void begin() {
        const StoredVqgan stored = read_vqgan(file_, network_);
        const VqganConfig& c = network_.config();
        values_ = stored.values, average_ = stored.values;
        m_.resize(values_.size()), v_.resize(values_.size());
        const double cells = static_cast<double>(SCENE_SIZE / c.patch()) * (SCENE_SIZE / c.patch());
        codebook_ =
            std::make_unique<MovingCodebook>(stored.codebook, c.codes, c.code_dim, recipe_.batch * cells / c.codes);
        taken_.resize(static_cast<size_t>(c.codes));
        std::filesystem::create_directories(run_.folder);
        const bool there = std::filesystem::exists(checkpoint_path_);
        if (!run_.resume) {
            if (there)
                throw Error("there is a checkpoint of an earlier run", checkpoint_path_, "say --resume, or remove it");
            return;
        }
        const CheckpointFile checkpoint(checkpoint_path_, KIND);
        step_ = checkpoint.number("step");
        checkpoint.read("values", values_);
        checkpoint.read("average", average_);
        checkpoint.read("m", m_);
        checkpoint.read("v", v_);
        checkpoint.read("codebook.values", codebook_->values);
        checkpoint.read("codebook.counts", codebook_->counts);
        checkpoint.read("codebook.sums", codebook_->sums);
        std::vector<float> taken(taken_.size());
        checkpoint.read("taken", taken);
        std::copy(taken.begin(), taken.end(), taken_.begin());
        smoothed_ = checkpoint.state().at("smoothed").get<std::vector<double>>();
    }

    void save() {
        const std::vector<float> taken(taken_.begin(), taken_.end());
        nlohmann::ordered_json state;
        state["step"] = step_;
        state["smoothed"] = smoothed_;
        write_checkpoint(checkpoint_path_, KIND, state,
                         {{"values", values_},
                          {"average", average_},
                          {"m", m_},
                          {"v", v_},
                          {"codebook.values", codebook_->values},
                          {"codebook.counts", codebook_->counts},
                          {"codebook.sums", codebook_->sums},
                          {"taken", taken}});
        write_model(recipe_.output, file_, network_, shipped(), codebook_->values);
    }
    std::span<float> shipped() { return recipe_.optimiser.average > 0 ? average_ : values_; }

    // The picture `number` of the run: its kind and seed are drawn.
    struct Choice {
        PictureKind kind;
        uint64_t seed;
    };
    Choice choose(uint64_t number) const {
        RandomDraws random(recipe_.seed, number);
        double left = random.uniform();
        int kind = 0;
        while (kind + 1 < PICTURE_KINDS && (left -= recipe_.shares[static_cast<size_t>(kind)]) >= 0) kind++;
        return {static_cast<PictureKind>(kind),
                FIRST_TRAINING_SEED + static_cast<uint64_t>(random.below(int64_t{1} << 40))};
    }

    struct PictureResult {
        PictureLoss loss;
        double commitment = 0;
    };
    PictureResult train_picture(Lane& lane, int index) {
        const Choice choice =
            choose(static_cast<uint64_t>(step_) * static_cast<uint64_t>(recipe_.batch) + static_cast<uint64_t>(index));
        const TrainingPicture sample = training_picture(world_, choice.kind, choice.seed);
        const std::vector<float> pixels = to_floats(sample.picture);
        for (size_t p = 0; p < lane.weights.size(); p++)
            lane.weights[p] = sample.matters[p] ? static_cast<float>(recipe_.object_weight) : 1.0f;
        Tensor entries = codebook_->entries();
        const VqganPass& pass = lane.vqgan.forward(pixels, SCENE_SIZE, SCENE_SIZE, entries);
        Tensor dpicture(lane.dpicture.data(), DType::F32, {SCENE_SIZE, SCENE_SIZE, 3});
        PictureResult result;
        const double share = 1.0 / recipe_.batch;
        result.loss = picture_loss(dpicture, pass.picture, pixels, lane.weights, recipe_.loss,
                                   share * recipe_.weights[static_cast<size_t>(choice.kind)]);

        const size_t cells = pass.codes.size(), width = static_cast<size_t>(pass.latent.cols());
        const float* z = pass.latent.f32();
        std::copy(pass.codes.begin(), pass.codes.end(), codes_.begin() + static_cast<int64_t>(cells) * index);
        std::copy_n(z, cells * width, latents_.begin() + static_cast<int64_t>(cells * width) * index);
        lane.dlatent.resize(cells * width);
        const double n = static_cast<double>(cells * width);
        const float factor = static_cast<float>(2 * recipe_.commitment * share / n);
        for (size_t i = 0; i < cells; i++)
            for (size_t c = 0; c < width; c++) {
                const float e = z[i * width + c] - entries.f32()[static_cast<size_t>(pass.codes[i]) * width + c];
                lane.dlatent[i * width + c] = factor * e;
                result.commitment += static_cast<double>(e) * e / n;
            }
        lane.vqgan.backward(dpicture, Tensor(lane.dlatent.data(), DType::F32, {pass.latent.rows(), pass.latent.cols()}),
                            lane.gradient.data(), recipe_.half);
        return result;
    }

    void train_step() {
        std::vector<PictureResult> results(static_cast<size_t>(recipe_.batch));
        parallel(LANES, [&](int64_t l, int) {
            Lane& lane = *lanes_[static_cast<size_t>(l)];
            std::fill(lane.gradient.begin(), lane.gradient.end(), 0.0f);
            for (int i = static_cast<int>(l); i < recipe_.batch; i += LANES)
                results[static_cast<size_t>(i)] = train_picture(lane, i);
        });
        std::vector<float>& gradient = lanes_[0]->gradient;
        for (int l = 1; l < LANES; l++) {
            const std::vector<float>& other = lanes_[static_cast<size_t>(l)]->gradient;
            for (size_t i = 0; i < gradient.size(); i++) gradient[i] += other[i];
        }
        update(gradient);
        int revived = 0;
        if (recipe_.half == VqganHalf::Both)
            revived =
                codebook_->update(latents_, codes_, recipe_.codebook, recipe_.seed + static_cast<uint64_t>(step_));
        for (int32_t code : codes_) taken_[static_cast<size_t>(code)]++;
        network_.pack(values_.data());

        double loss = 0, squares = 0, commitment = 0;
        for (const PictureResult& r : results)
            loss += r.loss.loss, squares += r.loss.squares, commitment += r.commitment;
        const double n = recipe_.batch;
        smooth({loss / n, squares / n, commitment / n, norm_, static_cast<double>(revived)});
    }

    void update(std::span<const float> gradient) {
        const OptimiserRule& o = recipe_.optimiser;
        const int64_t first = recipe_.half == VqganHalf::Both ? 0 : network_.encoder_parameters();
        norm_ = std::sqrt(sum_of_squares(gradient.subspan(static_cast<size_t>(first))));
        AdamWStep rule;
        rule.learning_rate = learning_rate(o.rate, static_cast<int>(step_), recipe_.steps);
        rule.beta_1 = o.beta_1, rule.beta_2 = o.beta_2, rule.epsilon = o.epsilon;
        rule.gradient_scale = o.clip > 0 && norm_ > o.clip ? o.clip / norm_ : 1.0;
        rule.step = step_ + 1;
        for (const VqganParameter& p : network_.layout()) {
            if (p.offset < first) continue;
            const size_t at = static_cast<size_t>(p.offset), count = static_cast<size_t>(p.count);
            rule.weight_decay = p.is_matrix ? o.weight_decay : 0;
            adamw(std::span(values_).subspan(at, count), gradient.subspan(at, count), std::span(m_).subspan(at, count),
                  std::span(v_).subspan(at, count), rule);
        }
        // In the beginning the average is of fewer steps.
        const double decay =
            std::min(o.average, (1.0 + static_cast<double>(step_)) / (10.0 + static_cast<double>(step_)));
        const size_t from = static_cast<size_t>(first);  // the average of equal values is not always the value
        if (o.average > 0)
            average_into(std::span(average_).subspan(from), std::span<const float>(values_).subspan(from), decay);
    }

    // Figures of the last hundred steps or so: loss, squares, commitment, norm, revived.
    void smooth(const std::vector<double>& fresh) {
        if (smoothed_.empty()) smoothed_ = fresh;
        for (size_t i = 0; i < fresh.size(); i++) smoothed_[i] += 0.02 * (fresh[i] - smoothed_[i]);
    }

    void report(double pictures_a_second) {
        const double flops = 6 * network_.forward_macs(SCENE_SIZE, SCENE_SIZE) * pictures_a_second;
        const CodeUse use = code_use(taken_);
        const double left = static_cast<double>(recipe_.steps - step_) * recipe_.batch / pictures_a_second;
        run_.say(format(
            "step %lld/%d  loss %.5f  %.2f dB  commitment %.4f  |g| %.3f  rate %.2e  codes %.0f (%d, %.2f new)  "
            "%.1f pictures/s  %.0f GFLOP/s  %.1f h left",
            static_cast<long long>(step_), recipe_.steps, smoothed_[0], 10 * std::log10(4 / smoothed_[1]), smoothed_[2],
            smoothed_[3], learning_rate(recipe_.optimiser.rate, static_cast<int>(step_), recipe_.steps), use.perplexity,
            use.used, smoothed_[4], pictures_a_second, flops / 1e9, left / 3600));
    }

    std::vector<std::string> columns() const {
        std::vector<std::string> names = {"step", "loss", "psnr", "commitment", "norm", "rate"};
        for (int k = 0; k < PICTURE_KINDS; k++)
            for (const char* what : {" psnr", " ssim", " object psnr"})
                names.push_back(name_of(static_cast<PictureKind>(k)) + std::string(what));
        names.push_back("segmentation iou");
        names.push_back("perplexity");
        names.push_back("codes");
        return names;
    }
    void log_line() {
        const bool worth = !scores_.empty() || step_ % 10 == 0;
        if (!worth) return;
        std::vector<std::optional<double>> line = {
            static_cast<double>(step_),
            smoothed_[0],
            10 * std::log10(4 / smoothed_[1]),
            smoothed_[2],
            smoothed_[3],
            learning_rate(recipe_.optimiser.rate, static_cast<int>(step_), recipe_.steps)};
        const size_t all = columns().size();
        if (!scores_.empty()) {
            for (const ScoreOfKind& s : scores_) {
                line.push_back(s.score.psnr), line.push_back(s.score.ssim), line.push_back(s.score.object_psnr);
            }
            line.push_back(scores_[static_cast<size_t>(PictureKind::Segmentation)].score.iou);
            line.push_back(use_.perplexity), line.push_back(use_.used);
            scores_.clear();
        }
        line.resize(all);
        log_->add(line);
    }

    void evaluate() {
        network_.pack(shipped().data());
        struct Job {
            PictureKind kind;
            uint64_t seed;
            VqganScore score;
        };
        std::vector<Job> jobs;
        for (int k = 0; k < PICTURE_KINDS; k++)
            for (int i = 0; i < recipe_.evaluate_pictures * (k == 0 ? 4 : 1); i++)
                jobs.push_back({static_cast<PictureKind>(k), static_cast<uint64_t>(i), {}});
        std::vector<std::vector<Picture>> shown(PICTURE_KINDS);
        constexpr size_t SHOWN = 4;  // of each kind, on the contact sheet
        for (std::vector<Picture>& pictures : shown) pictures.resize(2 * SHOWN);
        std::vector<int64_t> taken[LANES];
        parallel(LANES, [&](int64_t l, int) {
            taken[l].resize(taken_.size());
            for (size_t i = static_cast<size_t>(l); i < jobs.size(); i += LANES) {
                const TrainingPicture wanted = training_picture(world_, jobs[i].kind, jobs[i].seed);
                const VqganPass& pass = lanes_[static_cast<size_t>(l)]->vqgan.forward(
                    to_floats(wanted.picture), SCENE_SIZE, SCENE_SIZE, codebook_->entries());
                const Picture got = to_picture({pass.picture.f32(), static_cast<size_t>(pass.picture.elements())},
                                               SCENE_SIZE, SCENE_SIZE);
                jobs[i].score = score_picture(wanted, got);
                for (int32_t code : pass.codes) taken[l][static_cast<size_t>(code)]++;
                if (jobs[i].seed < SHOWN) {
                    shown[static_cast<size_t>(jobs[i].kind)][2 * jobs[i].seed] = wanted.picture;
                    shown[static_cast<size_t>(jobs[i].kind)][2 * jobs[i].seed + 1] = got;
                }
            }
        });
        network_.pack(values_.data());
        for (size_t i = 0; i < taken[0].size(); i++) taken[0][i] += taken[1][i];
        use_ = code_use(taken[0]);
        scores_.clear();
        for (int k = 0; k < PICTURE_KINDS; k++) {
            VqganScore sum;
            for (const Job& job : jobs) {
                if (job.kind != static_cast<PictureKind>(k)) continue;
                sum += job.score;
            }
            sum = sum.mean();
            scores_.push_back({static_cast<PictureKind>(k), sum});
            run_.say(format(
                "  held out, %-12s  %.2f dB  ssim %.4f  objects %.2f dB%s", name_of(static_cast<PictureKind>(k)),
                sum.psnr, sum.ssim, sum.object_psnr,
                static_cast<PictureKind>(k) == PictureKind::Segmentation ? format("  IoU %.3f", sum.iou).c_str() : ""));
        }
        run_.say(format("  held out, codes in use %d, perplexity %.0f", use_.used, use_.perplexity));
        std::fill(taken_.begin(), taken_.end(), 0);
        std::vector<Picture> sheet;
        for (const std::vector<Picture>& pictures : shown)
            for (const Picture& picture : pictures)
                if (picture.width > 0) sheet.push_back(picture);
        if (sheet.size() == PICTURE_KINDS * 2 * SHOWN)
            save_picture(run_.folder + "/held_out.png", contact_sheet(sheet, 2 * SHOWN));
    }

    const VqganRecipe& recipe_;
    const VqganRun& run_;
    WeightsFile file_;
    ModelConfig config_;
    VqganNetwork network_;
    World world_;
    std::string checkpoint_path_;
    std::vector<std::unique_ptr<Lane>> lanes_;
    std::unique_ptr<TrainingLog> log_;

    int64_t step_ = 0;
    std::vector<float> values_, average_, m_, v_;
    std::unique_ptr<MovingCodebook> codebook_;
    std::vector<int64_t> taken_;  // codes of the training pictures since the last score
    std::vector<double> smoothed_;
    double norm_ = 0;

    std::vector<float> latents_;  // of the step's pictures, in their order
    std::vector<int32_t> codes_;
    std::vector<ScoreOfKind> scores_;
    CodeUse use_;
};

}  // namespace

int64_t train_vqgan(const VqganRecipe& recipe, const VqganRun& run) {
    check_writable(recipe.output);
    return Training(recipe, run).go();
}

}  // namespace leon
