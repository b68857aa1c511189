// Opening a model and handing out its parts; see model.h.
#include "tasks/model.h"

namespace leon {

Model::Model(const std::string& path, const Kernels& kernels)
    : kernels_(kernels), file_(path), config_(parse_config(file_.config_json(), path)) {
    if (config_.has_transformer) weights_ = bind_weights(file_, config_.transformer, kernels);
    if (config_.has_vqgan) vqgan_.emplace(file_, config_.vqgan, kernels);
}

const TransformerWeights& Model::weights() const {
    if (!weights_) throw Error("the file holds no transformer", path(), "use a model that was converted with one");
    return *weights_;
}

const Tokenizer& Model::tokenizer() const {
    if (!tokenizer_) {
        if (file_.tokenizer_json().empty())
            throw Error("the file holds no tokenizer", path(), "convert again with tokenizer.json in the folder");
        tokenizer_ = std::make_unique<Tokenizer>(file_.tokenizer_json(), path());
        if (config_.has_transformer && tokenizer_->size() > config_.transformer.vocab) {
            tokenizer_.reset();
            throw Error("the tokenizer has more ids than the transformer", path(),
                        "convert again with the right tokenizer.json");
        }
    }
    return *tokenizer_;
}

const Vocabulary& Model::vocabulary() const {
    if (!vocabulary_) vocabulary_ = std::make_unique<Vocabulary>(read_vocabulary(tokenizer()));
    return *vocabulary_;
}

const DocumentWriter& Model::documents() const {
    if (!documents_) {
        // Documents are for a transformer: a picture tokenizer alone is told so first. With a tokenizer it can write
        // what a transformer is to be trained on.
        if (file_.tokenizer_json().empty()) weights();
        const Vocabulary& v = vocabulary();
        if (config_.has_vqgan && v.codes != config_.vqgan.codes)
            throw Error("the tokenizer has " + std::to_string(v.codes) + " picture tokens, but the VQGAN has " +
                            std::to_string(config_.vqgan.codes) + " codes",
                        path());
        documents_ = std::make_unique<DocumentWriter>(config_.layout, tokenizer(), v);
    }
    return *documents_;
}

const Vqgan& Model::encoder() const {
    if (!vqgan_ || !config_.vqgan.encoder)
        throw Error("the file holds no VQGAN encoder, so this model cannot look at pictures", path(),
                    "convert a checkpoint that includes it");
    return *vqgan_;
}

const Vqgan& Model::decoder() const {
    if (!vqgan_ || !config_.vqgan.decoder)
        throw Error("the file holds no VQGAN decoder, so this model cannot draw pictures", path(),
                    "convert it with --vqgan and a VQGAN that has one");
    return *vqgan_;
}

int Model::grid() const {
    if (!vqgan_)
        throw Error("the file holds no VQGAN, so this model knows no pictures", path(),
                    "convert a checkpoint that includes it");
    return config_.vqgan.resolution / config_.vqgan.patch();
}

}  // namespace leon
