#include "data/image_reader.h"

#include <png.h>
#include <turbojpeg.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "data/error.h"

namespace lacuna {
namespace {

constexpr int64_t kMostValues = int64_t{1} << 26;
constexpr int64_t kMostFileBytes = int64_t{1} << 30;

Error unreadable(const std::filesystem::path& path, const std::string& why) {
  return data_error(path.string() + ": " + why + ". Mend or leave out the file, or give --skip-bad.");
}

std::string ending(const std::filesystem::path& path) {
  std::string text = path.extension().string();
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

void check_size(const std::filesystem::path& path, int64_t width, int64_t height, int64_t channels) {
  if (width < 1 || height < 1 || width > kMostValues / height / channels) {
    throw unreadable(path, "it claims " + std::to_string(width) + " x " + std::to_string(height) + " points");
  }
}

// From lines of points, as files have them.
Picture picture_of(const uint8_t* lines, int64_t width, int64_t height, int64_t channels) {
  Picture picture{.width = width, .height = height, .channels = channels, .columns = {}};
  picture.columns.resize(static_cast<size_t>(width * height * channels));
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t c = 0; c < channels; ++c) {
        picture.columns[static_cast<size_t>((x * height + y) * channels + c)] =
            static_cast<float>(lines[(y * width + x) * channels + c]) / 255;
      }
    }
  }
  return picture;
}

std::vector<uint8_t> contents(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) throw unreadable(path, "there is no such file");
  const auto size = static_cast<int64_t>(std::filesystem::file_size(path, error));
  if (error || size > kMostFileBytes) throw unreadable(path, "it has over 1 GiB");
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Picture read_png(const std::filesystem::path& path, int64_t channels) {
  const auto bytes = contents(path);
  struct Image {
    png_image image{};
    ~Image() { png_image_free(&image); }
  } owner;
  auto& image = owner.image;
  image.version = PNG_IMAGE_VERSION;
  const auto failed = [&] { return unreadable(path, std::string("it cannot be read as PNG (") + image.message + ")"); };
  if (!png_image_begin_read_from_memory(&image, bytes.data(), bytes.size())) throw failed();
  const int64_t wanted = channels > 0 ? channels : (image.format & PNG_FORMAT_FLAG_COLOR) != 0 ? 3 : 1;
  check_size(path, image.width, image.height, wanted);
  image.format = wanted == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  std::vector<uint8_t> lines(static_cast<size_t>(int64_t{image.width} * image.height * wanted));
  const png_color black{};
  if (!png_image_finish_read(&image, &black, lines.data(), 0, nullptr)) throw failed();
  if (image.warning_or_error > 1) throw failed();
  return picture_of(lines.data(), image.width, image.height, wanted);
}

Picture read_jpeg(const std::filesystem::path& path, int64_t channels) {
  const auto bytes = contents(path);
  const std::unique_ptr<void, int (*)(tjhandle)> reader(tjInitDecompress(), tjDestroy);
  int width = 0, height = 0, sampling = 0, space = 0;
  const auto failed = [&] {
    return unreadable(path, std::string("it cannot be read as JPEG (") + tjGetErrorStr2(reader.get()) + ")");
  };
  if (!reader || tjDecompressHeader3(reader.get(), bytes.data(), static_cast<unsigned long>(bytes.size()), &width, &height,
                                     &sampling, &space) != 0) {
    throw failed();
  }
  const int64_t wanted = channels > 0 ? channels : space == TJCS_GRAY ? 1 : 3;
  check_size(path, width, height, wanted);
  std::vector<uint8_t> lines(static_cast<size_t>(int64_t{width} * height * wanted));
  // A file that was cut short is only warned of by the library, and counts as one that cannot be read here.
  if (tjDecompress2(reader.get(), bytes.data(), static_cast<unsigned long>(bytes.size()), lines.data(), width, 0, height,
                    wanted == 3 ? TJPF_RGB : TJPF_GRAY, TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS) != 0) {
    throw failed();
  }
  return picture_of(lines.data(), width, height, wanted);
}

}  // namespace

bool is_picture_file(const std::filesystem::path& path) {
  const auto kind = ending(path);
  return kind == ".png" || kind == ".jpg" || kind == ".jpeg";
}

Picture read_picture(const std::filesystem::path& path, int64_t channels) {
  return ending(path) == ".png" ? read_png(path, channels) : read_jpeg(path, channels);
}

IdxReader::IdxReader(const std::filesystem::path& path, size_t dimensions) : path_(path), source_(path) {
  uint8_t magic[4];
  read(magic, sizeof magic);
  if (magic[0] != 0 || magic[1] != 0 || magic[2] != 8 || magic[3] != dimensions) {
    throw unreadable(
        path, "it is no IDX file of bytes with " + std::to_string(dimensions) + " dimension" + (dimensions > 1 ? "s" : ""));
  }
  for (size_t d = 0; d < dimensions; ++d) {
    uint8_t size[4];
    read(size, sizeof size);
    sizes_.push_back(int64_t{size[0]} << 24 | size[1] << 16 | size[2] << 8 | size[3]);
    if (sizes_.back() < 1) throw unreadable(path, "a dimension of it is 0");
  }
  if (dimensions == 3) check_size(path, sizes_[2], sizes_[1], 1);
}

bool IdxReader::recognises(const std::filesystem::path& path) {
  char magic[4] = {};
  ByteSource source(path);
  return source.read(magic, sizeof magic) == sizeof magic && magic[0] == 0 && magic[1] == 0 && magic[2] == 8;
}

void IdxReader::read(void* data, size_t size) {
  size_t done = 0;
  while (done < size) {
    const size_t n = source_.read(static_cast<char*>(data) + done, size - done);
    if (n == 0) throw unreadable(path_, "it ends before its header says");
    done += n;
  }
}

std::vector<uint8_t> IdxReader::next() {
  int64_t size = 1;
  for (size_t d = 1; d < sizes_.size(); ++d) size *= sizes_[d];
  std::vector<uint8_t> bytes(static_cast<size_t>(size));
  read(bytes.data(), bytes.size());
  return bytes;
}

Picture IdxReader::next_picture() { return picture_of(next().data(), sizes_[2], sizes_[1], 1); }

}  // namespace lacuna
