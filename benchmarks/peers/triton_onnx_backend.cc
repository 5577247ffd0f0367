// Any ONNX model of one input in Triton, by onnxruntime's C API: what Triton's own onnxruntime backend, which no package
// on PyPI carries, does on a CPU. The rows of a dynamic batch are gathered into one buffer, run once, and scattered.
// One session an instance and one thread a session, as for every server of the comparison.

#include "triton_onnx_abi.h"

#include <chrono>
#include <cstring>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr uint32_t MAJOR = 1, MINOR = 19;  // of Triton's backend API
constexpr int INTERNAL = 1;                // TRITONSERVER_ERROR_INTERNAL
constexpr int CPU = 0, PINNED = 1;         // TRITONSERVER_MEMORY_
constexpr uint32_t FINAL = 1, ALL = 1;     // flags of ResponseSend, of RequestRelease
constexpr int WARNING = 2, ARENA = 1;      // OrtLoggingLevel, OrtAllocatorType
// ONNX's types of elements as Triton's; 0: what has no fixed size, or no name there
constexpr int TRITON_TYPE[] = {0, 11, 2, 6, 3, 7, 8, 9, 0, 1, 10, 12, 4, 5};

const OrtApi* ort = nullptr;
OrtEnv* environment = nullptr;

void check(OrtStatus* status) {
    if (status == nullptr) return;
    const std::string message = ort->GetErrorMessage(status);
    ort->ReleaseStatus(status);
    throw std::runtime_error("onnxruntime: " + message);
}

void check(Error* error) {
    if (error == nullptr) return;
    const std::string message = TRITONSERVER_ErrorMessage(error);
    TRITONSERVER_ErrorDelete(error);
    throw std::runtime_error(message);
}

// Nothing but a C error may leave the library.
template <typename Work>
Error* guarded(Work work) {
    try {
        work();
        return nullptr;
    } catch (const std::exception& e) {
        return TRITONSERVER_ErrorNew(INTERNAL, e.what());
    }
}

uint64_t now_ns() {
    // Triton's own times are taken from this clock
    return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

struct Rows {
    Request* request;
    TRITONBACKEND_Input* input;
    const int64_t* shape;
    uint32_t dimensions;
    uint64_t bytes;
    uint32_t buffers;
};

struct Result {
    char* data;
    std::vector<int64_t> shape;
    int type;
    size_t bytes;
};

class Model {
  public:
    explicit Model(const std::string& path) {
        OrtSessionOptions* options;
        check(ort->CreateSessionOptions(&options));
        OrtStatus* status = ort->SetIntraOpNumThreads(options, 1);
        if (status == nullptr) status = ort->SetInterOpNumThreads(options, 1);
        if (status == nullptr) status = ort->CreateSession(environment, path.c_str(), options, &session_);
        ort->ReleaseSessionOptions(options);
        check(status);
        check(ort->CreateCpuMemoryInfo(ARENA, 0, &memory_));
        describe();
    }
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    ~Model() {
        clear();
        ort->ReleaseMemoryInfo(memory_);
        ort->ReleaseSession(session_);
    }

    // One batch. If it throws, nothing has been answered and the requests are still Triton's.
    void execute(Instance* instance, Request** requests, uint32_t count) {
        if (!stacks_ && count > 1) throw std::runtime_error("the model's first dimension is fixed: it cannot batch");
        const uint64_t begun = now_ns();
        int64_t total = 0;
        const void* data = gather(requests, count, &total);
        const uint64_t run = now_ns();
        infer(const_cast<void*>(data), total);
        const uint64_t done = now_ns();
        // from here on requests are answered one by one, and what fails fails its own request
        const size_t all = stacks_ ? total : 1;
        size_t row = 0;
        for (const Rows& rows : rows_) {
            const size_t taken = stacks_ ? rows.shape[0] : 1;
            const bool well = answer(rows.request, row, taken, all);
            row += taken;
            const uint64_t end = now_ns();
            forget(TRITONBACKEND_ModelInstanceReportStatistics(instance, rows.request, well, begun, run, done, end));
            forget(TRITONBACKEND_RequestRelease(rows.request, ALL));
        }
        forget(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, all, begun, run, done, now_ns()));
        clear();
    }

  private:
    void describe() {
        size_t inputs, outputs;
        check(ort->SessionGetInputCount(session_, &inputs));
        check(ort->SessionGetOutputCount(session_, &outputs));
        if (inputs != 1) throw std::runtime_error("the model has " + std::to_string(inputs) + " inputs, not one");
        input_ = name(ort->SessionGetInputName, 0);
        for (size_t i = 0; i < outputs; ++i) outputs_.push_back(name(ort->SessionGetOutputName, i));
        for (const auto& one : outputs_) names_.push_back(one.c_str());
        values_.resize(outputs);
        OrtTypeInfo* type;
        check(ort->SessionGetInputTypeInfo(session_, 0, &type));
        const OrtShape* shape = nullptr;
        OrtStatus* status = ort->CastTypeInfoToTensorInfo(type, &shape);
        if (status == nullptr && shape != nullptr) {
            const Result found = described(shape);
            type_ = found.type;
            stacks_ = !found.shape.empty() && found.shape[0] < 0;
        }
        ort->ReleaseTypeInfo(type);
        check(status);
    }

    template <typename Get>
    std::string name(Get get, size_t index) {
        OrtAllocator* allocator;
        char* found;
        check(ort->GetAllocatorWithDefaultOptions(&allocator));
        check(get(session_, index, allocator, &found));
        const std::string copy = found;
        check(ort->AllocatorFree(allocator, found));
        return copy;
    }

    static Result described(const OrtShape* shape) {
        Result found{};
        size_t dimensions;
        check(ort->GetTensorElementType(shape, &found.type));
        check(ort->GetDimensionsCount(shape, &dimensions));
        found.shape.resize(dimensions);
        check(ort->GetDimensions(shape, found.shape.data(), dimensions));
        return found;
    }

    // The rows of all requests, one after another: in place if they lie so already.
    const void* gather(Request** requests, uint32_t count, int64_t* total) {
        rows_.clear();
        bytes_ = 0;
        for (uint32_t i = 0; i < count; ++i) {
            Rows one{requests[i], nullptr, nullptr, 0, 0, 0};
            check(TRITONBACKEND_RequestInputByIndex(one.request, 0, &one.input));
            check(TRITONBACKEND_InputProperties(one.input, nullptr, nullptr, &one.shape, &one.dimensions, &one.bytes,
                                                &one.buffers));
            if (stacks_ && one.dimensions == 0) throw std::runtime_error("a request's input has no rows");
            *total += one.dimensions == 0 ? 1 : one.shape[0];
            bytes_ += one.bytes;
            rows_.push_back(one);
        }
        if (count == 1 && rows_[0].buffers == 1) return part(rows_[0].input, 0).first;
        if (gathered_.size() < bytes_) gathered_.resize(bytes_);
        size_t end = 0;
        for (const Rows& one : rows_) {
            for (uint32_t i = 0; i < one.buffers; ++i) {
                const auto [data, bytes] = part(one.input, i);
                std::memcpy(gathered_.data() + end, data, bytes);
                end += bytes;
            }
        }
        return gathered_.data();
    }

    static std::pair<const void*, uint64_t> part(TRITONBACKEND_Input* input, uint32_t index) {
        const void* data;
        uint64_t bytes;
        int memory = CPU;
        int64_t id = 0;
        check(TRITONBACKEND_InputBuffer(input, index, &data, &bytes, &memory, &id));
        if (memory != CPU && memory != PINNED) throw std::runtime_error("an input is not in the CPU's memory");
        return {data, bytes};
    }

    void infer(void* data, int64_t total) {
        clear();
        std::vector<int64_t> shape(rows_[0].shape, rows_[0].shape + rows_[0].dimensions);
        if (stacks_) shape[0] = total;
        OrtValue* value;
        check(ort->CreateTensorWithDataAsOrtValue(memory_, data, bytes_, shape.data(), shape.size(), type_, &value));
        const char* input = input_.c_str();
        OrtStatus* status =
            ort->Run(session_, nullptr, &input, &value, 1, names_.data(), names_.size(), values_.data());
        ort->ReleaseValue(value);
        check(status);
        for (OrtValue* one : values_) {
            OrtShape* described_by;
            check(ort->GetTensorTypeAndShape(one, &described_by));
            Result found = described(described_by);
            ort->ReleaseTensorTypeAndShapeInfo(described_by);
            const bool named = static_cast<size_t>(found.type) < sizeof(TRITON_TYPE) / sizeof(int);
            found.type = named ? TRITON_TYPE[found.type] : 0;
            if (found.type == 0) throw std::runtime_error("the model has an output of a type that is not carried");
            if (stacks_ && (found.shape.empty() || found.shape[0] != total))
                throw std::runtime_error("the model has an output without one row for each row of the input");
            found.bytes = std::accumulate(found.shape.begin(), found.shape.end(),
                                          size_t(TRITONSERVER_DataTypeByteSize(found.type)), std::multiplies<size_t>());
            void* where;
            check(ort->GetTensorMutableData(one, &where));
            found.data = static_cast<char*>(where);
            results_.push_back(std::move(found));
        }
    }

    // Send one request its rows of the outputs that it asked for.
    bool answer(Request* request, size_t row, size_t taken, size_t total) {
        Response* response = nullptr;
        Error* error = guarded([&] {
            check(TRITONBACKEND_ResponseNew(&response, request));
            uint32_t asked;
            check(TRITONBACKEND_RequestOutputCount(request, &asked));
            for (uint32_t i = 0; i < asked; ++i) {
                const char* wanted;
                check(TRITONBACKEND_RequestOutputName(request, i, &wanted));
                size_t k = 0;
                while (k < outputs_.size() && outputs_[k] != wanted) ++k;
                if (k == outputs_.size()) throw std::runtime_error(std::string("the model has no output ") + wanted);
                write(response, k, row, taken, total);
            }
        });
        const bool well = error == nullptr;
        if (response != nullptr) forget(TRITONBACKEND_ResponseSend(response, FINAL, error));
        if (!well) TRITONSERVER_ErrorDelete(error);
        return well;
    }

    void write(Response* response, size_t k, size_t row, size_t taken, size_t total) {
        const Result& from = results_[k];
        const size_t each = total == 0 ? 0 : from.bytes / total;
        shape_ = from.shape;
        if (stacks_) shape_[0] = taken;
        TRITONBACKEND_Output* output;
        check(TRITONBACKEND_ResponseOutput(response, &output, names_[k], from.type, shape_.data(), shape_.size()));
        void* to;
        int memory = CPU;
        int64_t id = 0;
        check(TRITONBACKEND_OutputBuffer(output, &to, each * taken, &memory, &id));
        if (memory != CPU && memory != PINNED) throw std::runtime_error("an output is not in the CPU's memory");
        std::memcpy(to, from.data + each * row, each * taken);
    }

    // Of what can only fail if Triton is at fault, after which there is nobody left to tell.
    static void forget(Error* error) {
        if (error != nullptr) TRITONSERVER_ErrorDelete(error);
    }

    void clear() {
        for (OrtValue*& one : values_) {
            if (one != nullptr) ort->ReleaseValue(one);
            one = nullptr;
        }
        results_.clear();
    }

    OrtSession* session_ = nullptr;
    OrtMemoryInfo* memory_ = nullptr;
    std::string input_;
    std::vector<std::string> outputs_;
    std::vector<const char*> names_;
    int type_ = 0;
    bool stacks_ = false;
    // of the batch at hand; kept, so that a batch allocates nothing that the last one had
    std::vector<Rows> rows_;
    std::vector<char> gathered_;
    size_t bytes_ = 0;
    std::vector<OrtValue*> values_;
    std::vector<Result> results_;
    std::vector<int64_t> shape_;
};

Model* model_of(Instance* instance) {
    void* state;
    check(TRITONBACKEND_ModelInstanceState(instance, &state));
    return static_cast<Model*>(state);
}

}  // namespace

extern "C" {

Error* TRITONBACKEND_Initialize(TRITONBACKEND_Backend*) {
    return guarded([] {
        uint32_t major, minor;
        check(TRITONBACKEND_ApiVersion(&major, &minor));
        if (major != MAJOR || minor < MINOR)
            throw std::runtime_error("Triton's backend API is " + std::to_string(major) + "." + std::to_string(minor) +
                                     ", not 1.19 or a later 1");
        ort = OrtGetApiBase()->GetApi(1);
        if (ort == nullptr)
            throw std::runtime_error(std::string("onnxruntime ") + OrtGetApiBase()->GetVersionString() +
                                     " no longer has version 1 of its API");
        check(ort->CreateEnv(WARNING, "triton", &environment));
    });
}

Error* TRITONBACKEND_Finalize(TRITONBACKEND_Backend*) {
    if (environment != nullptr) ort->ReleaseEnv(environment);
    return nullptr;
}

Error* TRITONBACKEND_ModelInstanceInitialize(Instance* instance) {
    return guarded([=] {
        TRITONBACKEND_Model* model;
        int kind;
        const char* folder;
        uint64_t version;
        check(TRITONBACKEND_ModelInstanceModel(instance, &model));
        check(TRITONBACKEND_ModelRepository(model, &kind, &folder));
        check(TRITONBACKEND_ModelVersion(model, &version));
        const std::string path = std::string(folder) + "/" + std::to_string(version) + "/model.onnx";
        check(TRITONBACKEND_ModelInstanceSetState(instance, new Model(path)));
    });
}

Error* TRITONBACKEND_ModelInstanceFinalize(Instance* instance) {
    return guarded([=] { delete model_of(instance); });
}

Error* TRITONBACKEND_ModelInstanceExecute(Instance* instance, Request** requests, const uint32_t count) {
    return guarded([=] { model_of(instance)->execute(instance, requests, count); });
}
}
