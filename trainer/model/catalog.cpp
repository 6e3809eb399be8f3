#include "trainer/model/catalog.h"

#include "trainer/config/find_kind.h"
#include "trainer/config/to_toml.h"
#include "trainer/model/byte_word.h"
#include "trainer/model/decoder.h"
#include "trainer/model/encoder_decoder.h"
#include "trainer/model/energy_decoder.h"
#include "trainer/model/patch_encoder.h"

namespace lacuna {
namespace {

template <class A>
constexpr ArchitectureEntry entry(std::string_view name, std::string_view modality, std::string_view summary, std::string_view paper) {
  using Options = typename A::Options;
  return {name, modality, summary, paper,
          [](const Section& section, int64_t tensor_size) {
            const auto options = section.read<Options>();
            A::check(options, section, tensor_size);
            return A::offers(options);
          },
          [](const Section& section, const ModelContext& context) -> std::unique_ptr<Architecture> {
            return std::make_unique<A>(section.read<Options>(), context);
          },
          [](const Section& section) {
            auto options = section.read<Options>();
            return to_toml(fields_of(options));
          },
          reference_of<Options>};
}

constexpr std::array kArchitectures{
    entry<Decoder>("decoder", "text", "a stack of transformer blocks, causal, prefix or fully visible", "Radford et al. 2019"),
    entry<EncoderDecoder>("encoder_decoder", "text", "an encoder that sees its text whole, and a decoder that attends to it",
                          "Raffel et al. 2020"),
    entry<ByteWord>("byte_word", "text", "a backbone over words, between an encoder and a decoder of their bytes",
                    "Neitemeier et al. 2025"),
    entry<EnergyDecoder>("energy_decoder", "text", "a causal decoder with a second stream, of candidates for the next token",
                         "Gladstone et al. 2025"),
    entry<PatchEncoder>("patch_encoder", "frames", "a fully visible stack of transformer blocks over patches of spectrograms or pictures",
                        "Gong et al. 2022"),
};

}  // namespace

std::span<const ArchitectureEntry> architectures() { return kArchitectures; }

const ArchitectureEntry& find_architecture(const Section& section) { return find_kind(architectures(), section, "decoder"); }

}  // namespace lacuna
